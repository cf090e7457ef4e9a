"""`neurorobust export`: a trained run becomes a `.net` file and its card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurorobust.cli import foreign, options
from neurorobust.cli.output import session
from neurorobust.errors import BadInput, OutputError

if TYPE_CHECKING:
    from neurorobust.networks.block_network import BlockNetwork
    from neurorobust.netx.model import NetxModel


def export(
    out: Annotated[Path, typer.Option(help="The .net file; a run's card.json is put beside it.")],
    run: Annotated[
        Path | None, typer.Argument(help="Directory of a finished training run.")
    ] = None,
    source: foreign.From = None,
    weights: foreign.Weights = None,
    input_shape: foreign.InputShape = None,
    samples: foreign.Samples = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Write the integers that the chip will hold, as NetX HDF5, and the card that says the rest.

    With --from it is your own lava-dl network, an nn.Module with `blocks`; it has no card yet.
    """
    with session(as_json) as output:
        from neurorobust.models import CARD_FILE

        if (run is None) == (source is None):
            raise BadInput("export: give a run directory, or --from module:factory, not both")
        if source is None:
            assert run is not None
            foreign.only_with_from(weights=weights, input_shape=input_shape, samples=samples)
            model, notes = export_run(run, out, overwrite)
        else:
            model, notes = export_foreign(
                foreign.load(source, weights, input_shape, samples), out, overwrite
            )
        layers = [
            {"layer": layer.number, "type": layer.kind, "shape": layer.shape}
            for layer in model.layers
        ]
        output.result(out=str(out), sha256=model.sha256, layers=layers, notes=notes)
        for layer in model.layers:
            shape = "x".join(str(size) for size in layer.shape)
            output.console.print(f"layer {layer.number}  {layer.kind:<8} {shape}")
        for note in notes:
            output.console.print(note)
        card = f"card {out.parent / CARD_FILE}" if source is None else "no card"
        output.console.print(f"{out}  sha256 {model.sha256[:12]}…  {card}")


def export_run(run: Path, out: Path, overwrite: bool) -> tuple[NetxModel, tuple[str, ...]]:
    """Export a run directory to `out`, with `card.json` beside it; and what was done on the way.

    Raises:
        BadInput: not a finished run.
        OutputError: the file or its card exists already, or cannot be written.
    """
    from neurorobust import netx
    from neurorobust.export import explain
    from neurorobust.models import CARD_FILE, write_card
    from neurorobust.training import load_run

    for path in (out, out.parent / CARD_FILE):
        if path.exists() and not overwrite:
            raise OutputError(f"{path}: exists already; --overwrite replaces it")
    network, card, _ = load_run(run)
    exported = explain(network)
    model = netx.write(exported.model, out)
    write_card(card.model_copy(update={"sha256": model.sha256}), out.parent / CARD_FILE)
    return model, exported.notes


def export_foreign(
    network: BlockNetwork, out: Path, overwrite: bool
) -> tuple[NetxModel, tuple[str, ...]]:
    """Export a user's own network to `out`; and what was done on the way.

    Raises:
        BadInput: see `neurorobust.export.export`.
        OutputError: the file exists already, or cannot be written.
    """
    from neurorobust import netx
    from neurorobust.export import explain

    if out.exists() and not overwrite:
        raise OutputError(f"{out}: exists already; --overwrite replaces it")
    exported = explain(network)
    return netx.write(exported.model, out), exported.notes
