"""`neurorobust export`: a trained run becomes a `.net` file and its card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neurorobust import netx
from neurorobust.cli import options
from neurorobust.cli.output import session
from neurorobust.errors import OutputError
from neurorobust.models import CARD_FILE, write_card
from neurorobust.netx.model import NetxModel


def export(
    run: Annotated[Path, typer.Argument(help="Directory of a finished training run.")],
    out: Annotated[Path, typer.Option(help="The .net file; card.json is put beside it.")],
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Write the integers that the chip will hold, as NetX HDF5, and the card that says the rest."""
    with session(as_json) as output:
        model = export_run(run, out, overwrite)
        layers = [
            {"layer": layer.number, "type": layer.kind, "shape": layer.shape}
            for layer in model.layers
        ]
        output.result(out=str(out), sha256=model.sha256, layers=layers)
        for layer in model.layers:
            shape = "x".join(str(size) for size in layer.shape)
            output.console.print(f"layer {layer.number}  {layer.kind:<8} {shape}")
        output.console.print(f"{out}  sha256 {model.sha256[:12]}…  card {out.parent / CARD_FILE}")


def export_run(run: Path, out: Path, overwrite: bool) -> NetxModel:
    """Export a run directory to `out`, with `card.json` beside it.

    Raises:
        BadInput: not a finished run.
        OutputError: the file or its card exists already, or cannot be written.
    """
    from neurorobust.export import export as export_network
    from neurorobust.training import load_run

    for path in (out, out.parent / CARD_FILE):
        if path.exists() and not overwrite:
            raise OutputError(f"{path}: exists already; --overwrite replaces it")
    network, card, _ = load_run(run)
    model = netx.write(export_network(network), out)
    write_card(card.model_copy(update={"sha256": model.sha256}), out.parent / CARD_FILE)
    return model
