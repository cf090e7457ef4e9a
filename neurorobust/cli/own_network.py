"""`--from module:factory`: options of the commands that take a user's own lava-dl network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurorobust.errors import BadInput

if TYPE_CHECKING:
    from neurorobust.networks.block_network import BlockNetwork

From = Annotated[
    str | None,
    typer.Option("--from", help="module:factory of your own lava-dl network, not a run."),
]
Weights = Annotated[Path | None, typer.Option(help="With --from: its state dict, as .safetensors.")]
InputShape = Annotated[str | None, typer.Option(help="With --from: C,H,W, or features.")]
Samples = Annotated[
    Path | None,
    typer.Option(help="With --from and a stock Input block: .npz with x, what it is fed."),
]


def load(
    name: str, weights: Path | None, input_shape: str | None, samples: Path | None
) -> BlockNetwork:
    """The network that the options describe.

    Raises:
        BadInput: see `api.own_network`; or an option that cannot be read.
    """
    from neurorobust import api

    return api.own_network(name, weights, _shape(input_shape), samples)


def only_with_from(**given: object) -> None:
    """Refuse options that say nothing without `--from`."""
    for name, value in given.items():
        if value is not None:
            raise BadInput(f"--{name.replace('_', '-')}: needs --from module:factory")


def _shape(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise BadInput(f"--input-shape {text!r}: needs whole numbers, C,H,W") from error
