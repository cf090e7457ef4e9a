"""`neurorobust quantise`: one network at several precisions, and what each costs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurorobust.cli import options
from neurorobust.cli.budget_options import (
    NO_BUDGETS,
    BudgetOptions,
    rates_by_key,
    takes_budgets,
)
from neurorobust.cli.card_options import NO_OPTIONS, CardOptions, takes_card
from neurorobust.cli.export import export_run
from neurorobust.cli.output import session
from neurorobust.errors import BadInput

if TYPE_CHECKING:
    from rich.table import Table

    from neurorobust.assess.precision import Row
    from neurorobust.rates import Rate, RobustRate

TRAINING_FILE = "training.json"


@takes_card
@takes_budgets
def quantise(
    model: Annotated[
        str,
        typer.Argument(help="A .net file, a network's name or a training run.", metavar="MODEL"),
    ],
    out: Annotated[Path, typer.Option(help="Directory of the family: <out>/w6/model.net, ...")],
    weight_bits: Annotated[str, typer.Option(help="8 to 1: 8,6,5,4.")] = "8",
    decay_bits: Annotated[str, typer.Option(help="12 to 1.")] = "12",
    threshold_scale: Annotated[str, typer.Option(help="Factors on every threshold.")] = "1",
    scale: Annotated[
        str, typer.Option(help="search: the best scale a layer; fixed: strike off bits.")
    ] = "search",
    against: Annotated[
        Path | None, typer.Option(help="Training run: label changes count against its floats.")
    ] = None,
    dataset: options.DatasetName = None,
    data_dir: options.DataDir = None,
    download: options.Download = False,
    limit: options.Limit = None,
    bin_us: options.BinUs = None,
    attacks: Annotated[str, typer.Option(help="Names with commas between, or none.")] = "none",
    budgets: BudgetOptions = NO_BUDGETS,
    described: CardOptions = NO_OPTIONS,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Make a family of precisions; table clean and robust accuracy, label changes and spikes.

    Of a training run the exported network is the first of the family, in <out>/exported.
    """
    with session(as_json, resumable=True) as output:
        from neurorobust.assess.assess import float_classifier
        from neurorobust.assess.precision import sweep
        from neurorobust.backends.registry import Settings
        from neurorobust.evaluation import Request
        from neurorobust.netx.quantise import Precision

        precisions = [
            Precision(bits, decay, factor, scale)
            for bits in _numbers("--weight-bits", weight_bits, int)
            for decay in _numbers("--decay-bits", decay_bits, int)
            for factor in _numbers("--threshold-scale", threshold_scale, float)
        ]
        if (Path(model) / TRAINING_FILE).is_file():
            exported = out / "exported" / "model.net"
            if not (resume and exported.is_file()):
                export_run(Path(model), exported, overwrite)
            against, model = against or Path(model), str(exported)
        network = described.network(model)
        data = options.load(network, dataset, data_dir, download, limit, bin_us)
        request = Request(options.names("" if attacks == "none" else attacks), budgets, seed)
        settings = Settings(device)
        reference = None if against is None else float_classifier(against, network)
        with output.progress() as bars:
            rows = sweep(
                network,
                data,
                precisions,
                request,
                out,
                reference,
                settings,
                resume,
                overwrite,
                bars,
            )
        output.result(rows=[as_data(row) for row in rows])
        output.console.print(_table(rows, "float" if against is not None else network.name))
        output.console.print(_spikes(rows))
        for row in rows:
            if row.refused:
                output.console.print(f"{row.precision.name}: {row.refused}")


def as_data(row: Row) -> dict[str, Any]:
    """What `--json` prints of a precision."""
    return {
        "name": row.precision.name,
        **asdict(row.precision),
        "model": row.path or None,
        "sha256": row.sha256 or None,
        "refused": row.refused or None,
        "clean": None if row.clean is None else row.clean.model_dump(mode="json"),
        **rates_by_key(row.robust or {}, ("correct", "total", "interval")),
        "label_changes": row.label_changes,
        "layers": [asdict(layer) for layer in row.layers],
    }


def _table(rows: tuple[Row, ...], reference: str) -> Table:
    from rich.table import Table

    budgets = list(
        dict.fromkeys(
            (kind, text)
            for row in rows
            for kind, rates in (row.robust or {}).items()
            for text in rates
        )
    )
    table = Table("precision", "clean", *(f"robust at {text}" for _, text in budgets),
                  f"labels not {reference}'s")  # fmt: skip
    for row in rows:
        if row.clean is None or row.robust is None:
            table.add_row(row.precision.name, "refused")
            continue
        rates = (row.clean, *(row.robust.get(kind, {}).get(text) for kind, text in budgets))
        table.add_row(row.precision.name, *map(_rate, rates), str(row.label_changes))
    return table


def _spikes(rows: tuple[Row, ...]) -> Table:
    from rich.table import Table

    numbers = list(dict.fromkeys(layer.number for row in rows for layer in row.layers))
    table = Table("precision", *(f"layer {number}" for number in numbers),
                  title="spikes that differ (change of the rate)")  # fmt: skip
    for row in rows:
        if row.layers:
            cells = (f"{layer.differing:.2%} ({layer.change:+.2%})" for layer in row.layers)
            table.add_row(row.precision.name, *cells)
    return table


def _rate(rate: Rate | RobustRate | None) -> str:
    if rate is None:
        return ""
    low, high = rate.interval
    return f"{rate.correct / rate.total:.1%} [{low:.1%}, {high:.1%}]"


def _numbers(option: str, text: str, read: Any) -> list[Any]:
    try:
        found = [read(part) for part in options.names(text)]
    except ValueError:
        raise BadInput(f"{option} {text!r}: not numbers with commas between") from None
    if not found:
        raise BadInput(f"{option}: none given")
    return found
