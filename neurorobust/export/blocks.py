"""One maker a block: from lava-dl's modules to a layer of the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurorobust.errors import BadInput, ModelFileError
from neurorobust.export.fold import Fold, fold
from neurorobust.export.neurons import check_neuron, decays, spiking_neuron
from neurorobust.export.pool import pool_as_conv
from neurorobust.export.synapses import matrix, pair, weights, whole_delays
from neurorobust.fixedpoint import (
    DECAY_UNITY,
    THRESHOLD_MAX,
    pack_dense_weights,
    pack_recurrent_weights,
)
from neurorobust.networks.block_network import BlockNetwork
from neurorobust.networks.remedies import check_block
from neurorobust.netx.model import (
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    IntArray,
    Layer,
    Neuron,
    RecurrentLayer,
    Shape,
)


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


def make_layer(twin: BlockNetwork, number: int) -> Made:
    """The layer of one block of a frozen, settled copy.

    Raises:
        BadInput: the block, or something in it, cannot be exported; with the remedy.
        ModelFileError: a number out of range.
    """
    block = twin.blocks[number]
    place = Place(number, twin.name(number), twin.shapes[max(number - 1, 0)], twin.shapes[number])
    check_block(place.where, block)
    return MAKERS[type(block).__name__](place, block)


def _input(place: Place, block: Any) -> Made:
    neuron = Neuron(
        current_decay=np.array([DECAY_UNITY]),  # nothing ever enters u
        voltage_decay=np.array([block.voltage_decay]),
        threshold=np.array([block.threshold]),
    )
    return Made(
        InputLayer(place.number, block.shape, neuron, float(block.weight), float(block.bias))
    )


def _declaration(place: Place, block: Any) -> Made:
    return Made(InputLayer(place.number, block.shape, None))


def _stock_input(place: Place, block: Any) -> Made:
    raise BadInput(
        f"{place.where}: lava-dl's Input block is not the chip's rule; "
        "use InputBlock of neurorobust.networks, or networks.adopt"
    )


def _flatten(place: Place, block: Any) -> Made:
    return Made(FlattenLayer(place.number, place.shape))


def _dense(place: Place, block: Any) -> Made:
    check_neuron(place.where, block)
    found = fold(place.where, block.neuron, place.shape[0])
    weight = matrix(place.where, block, block.synapse)
    _packed(place.where, weight)
    delay = whole_delays(place.where, block)
    if delay is not None and found.bias is not None:
        raise BadInput(
            f"{place.where}: norm and delay in one block cannot be exported: the file delays what "
            "arrives, lava-dl what leaves, and a bias waits for neither; use two blocks"
        )
    layer = DenseLayer(
        place.number,
        place.shape,
        spiking_neuron(place.where, block, found),
        weight,
        found.bias,
        None if delay is None else np.broadcast_to(delay[:, None], weight.shape).copy(),
    )
    return _made(place, block, layer, found)


def _recurrent(place: Place, block: Any) -> Made:
    check_neuron(place.where, block, recurrent=True)
    found = fold(place.where, block.neuron, place.shape[0])
    if block.neuron.norm is not None and np.any(block.neuron.cx_current_decay != DECAY_UNITY):
        raise BadInput(
            f"{place.where}: norm cannot be exported unless current_decay is 1: lava-dl keeps the "
            "normalised current from step to step in recurrent blocks, the chip the plain one"
        )
    if block.recurrent_synapse.weight_norm_enabled:
        raise BadInput(
            f"{place.where}: weight_norm cannot be exported: lava-dl never updates the recurrent "
            "weights by it; build the block without it"
        )
    if whole_delays(place.where, block) is not None:
        raise BadInput(
            f"{place.where}: delay cannot be exported: NetX breaks delayed recurrent layers; "
            "put the delay into a Dense block after it"
        )
    forward = matrix(place.where, block, block.input_synapse)
    back = matrix(place.where, block, block.recurrent_synapse, "weight_rec")
    _packed(place.where, forward, back)
    layer = RecurrentLayer(
        place.number,
        place.shape,
        spiking_neuron(place.where, block, found),
        forward,
        back,
        found.bias,
    )
    return _made(place, block, layer, found)


def _affine(place: Place, block: Any) -> Made:
    """A readout that never spikes: its membrane is read.

    Without dynamics it is the file's layer without a neuron, whose membrane is the running sum of
    what lava-dl hands out step by step. With dynamics lava-dl writes vThMant 262143, beyond the
    chip's 17 bits: the largest that fits is out of reach as long as v does not saturate.
    """
    check_neuron(place.where, block)
    weight = matrix(place.where, block, block.synapse)
    _packed(place.where, weight)
    if not block.dynamics:
        layer = DenseLayer(place.number, place.shape, None, weight)
        note = "no neuron: the membrane is the sum of its outputs over time"
        return Made(layer, (f"{place.where}: {note}",))
    found = fold(place.where, block.neuron, place.shape[0])
    neuron = Neuron(*decays(place.where, block.neuron), np.array([THRESHOLD_MAX]))
    made = _made(
        place, block, DenseLayer(place.number, place.shape, neuron, weight, found.bias), found
    )
    note = f"{place.where}: vThMant {THRESHOLD_MAX}, which it never reaches: read its membrane"
    return Made(made.layer, (note, *made.notes), made.exact)


def _conv(place: Place, block: Any) -> Made:
    check_neuron(place.where, block)
    _refuse_delays(place.where, block)
    found = fold(place.where, block.neuron, place.shape[0])
    synapse = block.synapse
    layer = ConvLayer(
        place.number,
        place.shape,
        spiking_neuron(place.where, block, found),
        weights(place.where, block, synapse)[..., 0],
        found.bias,
        stride=pair(synapse.stride),
        padding=pair(synapse.padding),
        dilation=pair(synapse.dilation),
        groups=int(synapse.groups),
    )
    return _made(place, block, layer, found)


def _pool(place: Place, block: Any) -> Made:
    check_neuron(place.where, block)
    _refuse_delays(place.where, block)
    weight = weights(place.where, block, block.synapse)[..., 0]
    conv = pool_as_conv(place.where, block, weight, place.before)
    found = fold(place.where, block.neuron, place.shape[0])
    layer = ConvLayer(
        place.number,
        place.shape,
        spiking_neuron(place.where, block, found),
        conv.weight,
        found.bias,
        stride=conv.stride,
        padding=conv.padding,
        dilation=conv.dilation,
        groups=conv.groups,
    )
    made = _made(place, block, layer, found)
    note = f"{place.where}: a convolution of {conv.groups} groups with constant weights"
    return Made(layer, (note, *made.notes), made.exact)


MAKERS: dict[str, Callable[[Place, Any], Made]] = {
    "InputBlock": _input,
    "SpikeInput": _declaration,
    "Input": _stock_input,
    "Flatten": _flatten,
    "Dense": _dense,
    "Recurrent": _recurrent,
    "Affine": _affine,
    "Conv": _conv,
    "Pool": _pool,
}


def _made(place: Place, block: Any, layer: Layer, found: Fold) -> Made:
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


def _packed(where: str, weight: IntArray, back: IntArray | None = None) -> None:
    """Refuse matrices that Lava cannot scale or would lose."""
    try:
        if back is None:
            pack_dense_weights(weight)
        else:
            pack_recurrent_weights(weight, back)
    except ModelFileError as error:
        raise ModelFileError(f"{where}: {error}") from error


def _refuse_delays(where: str, block: Any) -> None:
    if whole_delays(where, block) is not None:
        raise BadInput(
            f"{where}: delay cannot be exported: NetX drops the delays of convolutions in silence; "
            "train without it, or put the delay into a Dense block"
        )
