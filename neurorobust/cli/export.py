"""`neurorobust export`: a trained run becomes a `.net` file and its card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neurorobust.cli import options, own_network
from neurorobust.cli.card_options import NO_OPTIONS, CardOptions, takes_card
from neurorobust.cli.output import session
from neurorobust.errors import BadInput


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
        from neurorobust import api

        if (run is None) == (source is None):
            raise BadInput("export: give a run directory, or --from module:factory, not both")
        said = described.given() | ({} if dataset is None else {"dataset": dataset})
        if source is None:
            assert run is not None
            own_network.only_with_from(weights=weights, input_shape=input_shape, samples=samples)
            made = api.export_run(run, out, card=described.card, overwrite=overwrite, **said)
        else:
            own = own_network.load(source, weights, input_shape, samples)
            made = api.export_network(own, out, card=described.card, overwrite=overwrite, **said)
        layers = [
            {"layer": layer.number, "type": layer.kind, "shape": layer.shape}
            for layer in made.model.layers
        ]
        output.result(out=str(out), sha256=made.model.sha256, layers=layers, notes=made.notes)
        for layer in made.model.layers:
            shape = "x".join(str(size) for size in layer.shape)
            output.console.print(f"layer {layer.number}  {layer.kind:<8} {shape}")
        for note in made.notes:
            output.console.print(note)
        output.console.print(f"{out}  sha256 {made.model.sha256[:12]}…", soft_wrap=True)
        output.console.print(made.beside, soft_wrap=True)
