"""What every maker of a layer needs: the place of its block, its notes, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from neurorobust.errors import BadInput, ModelFileError
from neurorobust.export.fold import Fold
from neurorobust.export.synapses import whole_delays
from neurorobust.fixedpoint import pack_dense_weights, pack_recurrent_weights
from neurorobust.netx.model import IntArray, Layer, Shape


@dataclass(frozen=True)
class Made:
    """A layer, what was done to get it, and whether it computes SLAYER's integers bit for bit."""

    layer: Layer
    notes: tuple[str, ...] = ()
    exact: bool = True


@dataclass(frozen=True)
class Place:
    """A block among others: its layer's number, its name in messages, shapes before and after."""

    number: int
    where: str
    before: Shape
    shape: Shape


def noted(place: Place, block: Any, layer: Layer, found: Fold) -> Made:
    """The layer, with a note on everything that is not simply copied."""
    neuron, notes = block.neuron, []
    if neuron.norm is not None:
        what = f"norm {type(neuron.norm).__name__} folded into the bias"
        exact = neuron.v_th_mant * 2.0**found.exponent
        if found.exponent:
            what += f" and the threshold (times 2^{found.exponent}, v too)"
        if exact != round(exact):
            what += f", threshold {exact:g} rounded to {round(exact)}"
        if not found.exact:
            what += (
                "; lava-dl rounds what it divides, so a few spikes differ: MeanOnlyBatchNorm, or "
                "decays of 0 or 1, would be exact"
            )
        notes.append(what)
    if neuron.drop is not None:
        notes.append("dropout left out")
    if block.delay is not None and bool((block.delay.delay % 1).any()):
        notes.append("delays rounded down to whole steps, as lava-dl runs them")
    return Made(layer, tuple(f"{place.where}: {note}" for note in notes), found.exact)


def check_packed(where: str, weight: IntArray, back: IntArray | None = None) -> None:
    """Refuse matrices that Lava cannot scale or would lose."""
    try:
        if back is None:
            pack_dense_weights(weight)
        else:
            pack_recurrent_weights(weight, back)
    except ModelFileError as error:
        raise ModelFileError(f"{where}: {error}") from error


def refuse_delays(where: str, block: Any) -> None:
    """Refuse delays of a convolution, unless all of them are less than a step."""
    if whole_delays(where, block) is not None:
        raise BadInput(
            f"{where}: delay cannot be exported: NetX drops the delays of convolutions in silence; "
            "train without it, or put the delay into a Dense block"
        )
