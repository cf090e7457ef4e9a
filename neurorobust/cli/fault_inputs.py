"""`neurorobust faults inputs`: inputs that overflow, cost most, or part the two clocks."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurorobust.cli import faults, options
from neurorobust.cli.card_options import NO_OPTIONS, CardOptions, takes_card
from neurorobust.cli.output import session
from neurorobust.errors import BadInput

if TYPE_CHECKING:
    from rich.table import Table
    from torch import Tensor

    from neurorobust.faults.inputs import Reached


@takes_card
def inputs(
    model: Annotated[str, typer.Argument(help="A .net file or a network's name.")],
    objective: Annotated[str, typer.Option(help="overflow, energy or truncation.")],
    eps: Annotated[str, typer.Option(help="Budget on pixels: 0.1, 8/255, l2:0.5.")] = "",
    flips: Annotated[str, typer.Option(help="Budget on spikes: 10, insert=5.")] = "",
    dataset: options.DatasetName = None,
    data_dir: options.DataDir = None,
    download: options.Download = False,
    limit: options.Limit = 200,
    rounds: Annotated[int, typer.Option(help="Gradients of the search.", min=1)] = 20,
    out: faults.FaultsOut = None,
    described: CardOptions = NO_OPTIONS,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Attack what a network costs and where its integers end, within a budget on its input."""
    with session(as_json) as output:
        import torch

        from neurorobust import budgets
        from neurorobust.attacks.controls import control_of
        from neurorobust.attacks.deployment import DEPLOYMENT, OBJECTIVES
        from neurorobust.attacks.spike_view import spike_view
        from neurorobust.backends.registry import Settings, open_backend
        from neurorobust.faults.inputs import layer_bounds, reached
        from neurorobust.support import files

        if bool(eps) == bool(flips):
            raise BadInput("faults inputs: needs one budget, --eps or --flips")
        if objective not in OBJECTIVES:
            raise BadInput(f"--objective {objective!r}: unknown, known: {', '.join(OBJECTIVES)}")
        kind, text = ("eps", eps) if eps else ("flips", flips)
        budget = budgets.parse(kind, text)
        network = described.network(model)
        target = faults.fresh(out, "inputs.json", overwrite)
        data = options.load(network, dataset, data_dir, download, limit)
        x, labels = data.batch(0, len(data))
        name = objective if eps else f"{objective}-flips"
        attack = dataclasses.replace(DEPLOYMENT[name], steps=rounds)
        with open_backend("engine", network.model, Settings()) as backend:
            made = network.classifier(backend)

            def fresh() -> torch.Generator:
                return torch.Generator().manual_seed(seed)

            if flips:
                made, x = spike_view(made, x, fresh())
            bounds = layer_bounds(made, x)
            found = {"clean": x}
            found["random"] = control_of(kind)(made, x, labels, budget, fresh())
            found[name] = _in_parts(attack, made, x, labels, budget, fresh(), output)
            rows = {row: reached(made, one, labels, fresh()) for row, one in found.items()}
        result = {
            "model": network.name,
            "sha256": network.model.sha256,
            "dataset": data.name,
            "seed": seed,
            "budget": {kind: text},
            "rounds": rounds,
            "bounds": [
                {"layer": one.layer, "current": one.current, "can_wrap": one.can_wrap}
                for one in bounds
            ],
            "rows": {row: _row(one) for row, one in rows.items()},
        }
        output.result(**result)
        for one in bounds:
            verdict = "can wrap" if one.can_wrap else "can never wrap"
            output.console.print(
                f"layer {one.layer}: |u| at most {one.current:,}, {verdict} at 2^23 = 8,388,608"
            )
        output.console.print(_table(rows))
        if target is not None:
            files.write_npz(target.parent / "inputs.npz", {"x": found[name].numpy()})
            files.write_text(target, json.dumps(result, indent=1) + "\n")


def _in_parts(
    attack: Any, made: Any, x: Tensor, labels: Tensor, budget: Any, generator: Any, output: Any
) -> Tensor:
    """So that progress shows; samples do not depend on each other."""
    import torch

    parts = []
    with output.progress() as bars:
        for first in range(0, len(x), 50):
            some = slice(first, first + 50)
            parts.append(attack(made, x[some], labels[some], budget, generator))
            bars(min(first + 50, len(x)), len(x), attack.name)
    return torch.cat(parts)


def _row(found: Reached) -> dict[str, Any]:
    from neurorobust.records import Rate

    values = ((field.name, getattr(found, field.name)) for field in dataclasses.fields(found))
    return {
        name: value.model_dump() if isinstance(value, Rate) else value for name, value in values
    }


def _table(rows: dict[str, Reached]) -> Table:
    from rich.table import Table

    heads = ("inputs", "right", "right on the global clock", "clocks part", "operations", "wrapped")
    table = Table(*heads)
    for name, one in rows.items():
        table.add_row(
            name,
            faults.words(one.correct),
            faults.words(one.late),
            faults.words(one.apart),
            f"{one.operations:,.0f}",
            f"{one.wrapped.correct} of {one.wrapped.total} ({one.wraps} times)",
        )
    return table
