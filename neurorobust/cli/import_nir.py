"""`neurorobust import`: a NIR graph becomes a `.net` file, and what that costs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurorobust.cli import options
from neurorobust.cli.output import session

if TYPE_CHECKING:
    from rich.table import Table

    from neurorobust.nir import LayerReport


def import_nir(
    graph: Annotated[Path, typer.Argument(help="A .nir file.")],
    out: Annotated[Path, typer.Option(help="The .net file to write.")],
    dt: Annotated[float, typer.Option(help="Time of a step, in the graph's unit.")] = 1e-3,
    dataset: options.DatasetName = None,
    data_dir: options.DataDir = None,
    download: options.Download = False,
    limit: options.Limit = None,
    bin_us: options.BinUs = None,
    card: options.CardFile = None,
    encoder: options.Encoder = None,
    steps: options.Steps = None,
    gain: options.Gain = None,
    readout: options.Readout = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Quantise a NIR graph for the chip; with a data set, say what accuracy that costs."""
    with session(as_json) as output:
        from neurorobust import api

        with output.progress() as bars:
            found = api.import_nir(
                graph,
                out,
                dt=dt,
                card=card,
                dataset=dataset,
                data_dir=data_dir,
                download=download,
                limit=limit,
                bin_us=bin_us,
                seed=seed,
                overwrite=overwrite,
                progress=bars,
                encoder=encoder,
                steps=steps,
                gain=gain,
                readout=readout,
            )
        rates = found.accuracy
        output.result(
            model=str(out),
            sha256=found.model.sha256,
            layers=[asdict(row) for row in found.layers],
            accuracy={name: row.model_dump(mode="json") for name, row in rates.items()} or None,
        )
        output.console.print(_table(found.layers))
        for name, row in rates.items():
            low, high = row.interval
            output.console.print(
                f"{name}: {row.correct} of {row.total} right ({low:.1%} to {high:.1%})"
            )
        output.console.print(f"{graph} → {out}")


def _table(layers: tuple[LayerReport, ...]) -> Table:
    from rich.table import Table

    table = Table("layer", "scale", "weights off by", "lost", "threshold off", "decays off")
    for row in layers:
        table.add_row(
            row.name, f"{row.scale:.4g}", f"{row.weight_error:.2%}", str(row.lost),
            f"{row.threshold_error:.2%}", f"{row.decay_error:.2%}",
        )  # fmt: skip
    return table
