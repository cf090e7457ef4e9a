"""`neurorobust export`: a trained run becomes a `.net` file and its card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurorobust.cli import options, own_network
from neurorobust.cli.card import free, prepared
from neurorobust.cli.card_options import NO_OPTIONS, CardOptions, changed, takes_card
from neurorobust.cli.output import session
from neurorobust.errors import BadInput, OutputError

if TYPE_CHECKING:
    from neurorobust.export import Export
    from neurorobust.networks.block_network import BlockNetwork
    from neurorobust.netx.model import NetxModel
    from neurorobust.records import Card


@takes_card
def export(
    out: Annotated[Path, typer.Option(help="The .net file; a run's card.json is put beside it.")],
    run: Annotated[
        Path | None, typer.Argument(help="Directory of a finished training run.")
    ] = None,
    source: own_network.From = None,
    weights: own_network.Weights = None,
    input_shape: own_network.InputShape = None,
    samples: own_network.Samples = None,
    described: CardOptions = NO_OPTIONS,
    dataset: options.DatasetName = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Write the integers that the chip will hold, as NetX HDF5, and the card that says the rest.

    With --from it is your own lava-dl network, an nn.Module with `blocks`; its card is made of
    --encoder, --steps, --readout and what goes with them. Of a run they change its card.
    """
    with session(as_json) as output:
        from neurorobust.models import CARD_FILE, no_card

        if (run is None) == (source is None):
            raise BadInput("export: give a run directory, or --from module:factory, not both")
        given = described.given() | ({} if dataset is None else {"dataset": dataset})
        if source is None:
            assert run is not None
            own_network.only_with_from(weights=weights, input_shape=input_shape, samples=samples)
            model, notes = export_run(run, out, overwrite, described.start(), given)
        else:
            check_out(out, overwrite)
            model, notes = export_foreign(
                own_network.load(source, weights, input_shape, samples),
                out,
                overwrite,
                described.start(),
                given,
            )
        carded = source is None or bool(given) or described.card is not None
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
        output.console.print(f"{out}  sha256 {model.sha256[:12]}…", soft_wrap=True)
        if carded:
            output.console.print(f"card {out.parent / CARD_FILE}", soft_wrap=True)
        elif (out.parent / CARD_FILE).exists():
            output.console.print(f"{out.parent / CARD_FILE} is left as it was", soft_wrap=True)
        else:
            output.console.print(no_card(out), soft_wrap=True)


def check_out(out: Path, overwrite: bool) -> None:
    """Refuse, before any work, a name that no `.net` file has, or one that is taken.

    Raises:
        OutputError: so it is; the remedy is in the message.
    """
    if out.suffix != ".net":
        raise OutputError(
            f"--out {out}: a network's file ends in .net, as {out.with_suffix('.net')}"
        )
    if out.is_dir():
        raise OutputError(f"{out}: is a folder")
    if out.exists() and not overwrite:
        raise OutputError(f"{out}: exists already; --overwrite replaces it")


def export_run(
    run: Path,
    out: Path,
    overwrite: bool,
    start: Card | None = None,
    given: dict[str, Any] | None = None,
) -> tuple[NetxModel, tuple[str, ...]]:
    """Export a run directory to `out`, with `card.json` beside it; and what was done on the way.

    Args:
        run: a training run's directory.
        out: the `.net` file.
        overwrite: replace it and its card.
        start: a card in place of the run's own.
        given: what changes in the card, see `card_options.changed`.

    Raises:
        BadInput: not a finished run.
        CardError: the card does not fit the network; nothing was written.
        OutputError: the file or its card exists already, or cannot be written.
    """
    from neurorobust.export import explain
    from neurorobust.training import load_run

    check_out(out, overwrite)
    free(out, overwrite)
    network, card, _ = load_run(run)
    exported = explain(network)
    made = prepared(out, exported.model, start or card, given or {}, overwrite)
    return _write(exported, out, made)


def export_foreign(
    network: BlockNetwork,
    out: Path,
    overwrite: bool,
    start: Card | None = None,
    given: dict[str, Any] | None = None,
) -> tuple[NetxModel, tuple[str, ...]]:
    """Export a user's own network to `out`; with its card, where one is given; and what was done.

    Raises:
        BadInput: see `neurorobust.export.export`.
        CardError: the card is not whole, or does not fit the network; nothing was written.
        OutputError: the file or its card exists already, or cannot be written.
    """
    from neurorobust.export import explain

    check_out(out, overwrite)
    card = changed(start, given or {}) if start is not None or given else None
    if card is not None:
        free(out, overwrite)
    exported = explain(network)
    if card is not None:
        card = prepared(out, exported.model, card, {}, overwrite)
    return _write(exported, out, card)


def _write(exported: Export, out: Path, card: Card | None) -> tuple[NetxModel, tuple[str, ...]]:
    from neurorobust import netx
    from neurorobust.models import CARD_FILE, write_card

    model = netx.write(exported.model, out)
    if card is not None:
        write_card(card.model_copy(update={"sha256": model.sha256}), out.parent / CARD_FILE)
    return model, exported.notes
