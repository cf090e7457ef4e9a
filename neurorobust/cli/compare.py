"""`neurorobust compare`: the float network that was trained against its deployed integers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurorobust.cli import options, own_network
from neurorobust.cli.budget_options import NO_BUDGETS, BudgetOptions, takes_budgets
from neurorobust.cli.card_options import NO_OPTIONS, CardOptions, takes_card
from neurorobust.cli.evaluate import summary
from neurorobust.cli.output import command_line, session
from neurorobust.cli.parity import alignment_sentence
from neurorobust.errors import BadInput

if TYPE_CHECKING:
    from neurorobust.networks.block_network import BlockNetwork


@takes_card
@takes_budgets
def compare(
    first: Annotated[str, typer.Argument(metavar="RUN", help="Training run (the float network).")],
    second: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="The .net file of it; with --from the only one."),
    ] = None,
    source: own_network.From = None,
    weights: own_network.Weights = None,
    input_shape: own_network.InputShape = None,
    samples: own_network.Samples = None,
    budgets: BudgetOptions = NO_BUDGETS,
    no_control: options.NoControl = False,
    dataset: options.DatasetName = None,
    data_dir: options.DataDir = None,
    download: options.Download = False,
    limit: options.Limit = None,
    bin_us: options.BinUs = None,
    out: options.Out = None,
    described: CardOptions = NO_OPTIONS,
    seed: options.Seed = 0,
    backend: options.Backend = "engine",
    device: options.Device = "cpu",
    memory_limit: options.MemoryLimit = None,
    timeout: options.Timeout = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """The 2x2 that quantisation hides: attacks crafted on float / deployed, scored on both."""
    with session(as_json, resumable=out is not None) as output:
        from neurorobust import api
        from neurorobust.budgets import KINDS
        from neurorobust.report import REPORT_FILE, print_record

        if len(budgets) != 1:
            known = " or ".join(f"--{kind}" for kind in KINDS)
            raise BadInput(f"{known}: give budgets of one kind")
        attack = KINDS[next(iter(budgets))].compared_by
        if (second is None) != (source is not None):
            raise BadInput("compare: give RUN and MODEL, or --from module:factory and one MODEL")
        trained: Path | BlockNetwork = Path(first)
        if source is None:
            own_network.only_with_from(weights=weights, input_shape=input_shape, samples=samples)
        else:
            trained = own_network.load(source, weights, input_shape, samples)
        model = first if second is None else second
        network = described.network(model)
        against = api.float_side(trained, network)
        request = api.ask(
            (attack,), budgets, seed=seed, control=not no_control, compare_with=attack
        )
        settings = api.Settings(device, memory_limit, timeout)
        data = api.scored_data(
            network, dataset, data_dir=data_dir, download=download, limit=limit, bin_us=bin_us
        )
        with output.progress() as bars:
            record = api.assess_network(
                network,
                data,
                request,
                backend=backend,
                settings=settings,
                against=against,
                out=out,
                resume=resume,
                overwrite=overwrite,
                progress=bars,
                command=command_line(),
            )
        cost = api.alignment_cost(
            against, network, data, backend=backend, settings=settings, seed=seed
        )
        told = {} if cost is None else {"alignment": cost.model_dump(mode="json")}
        output.result(**summary(record, out), **told)
        if cost is not None:
            output.console.print(alignment_sentence(cost))
        print_record(record, output.console, None if out is None else out / REPORT_FILE)
