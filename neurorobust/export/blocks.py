"""One maker a block: from lava-dl's modules to a layer of the file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neurorobust.errors import BadInput
from neurorobust.export.fold import fold
from neurorobust.export.made import Made, Place, check_packed, noted, refuse_delays
from neurorobust.export.neurons import check_neuron, decays, spiking_neuron
from neurorobust.export.pool import pool_as_conv
from neurorobust.export.synapses import matrix, pair, weights, whole_delays
from neurorobust.fixedpoint import DECAY_UNITY, THRESHOLD_MAX
from neurorobust.networks.block_network import BlockNetwork
from neurorobust.networks.remedies import check_block
from neurorobust.netx.model import (
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    Neuron,
    RecurrentLayer,
)


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
    # nothing ever enters u
    neuron = Neuron.of(DECAY_UNITY, block.voltage_decay, block.threshold)
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
    check_packed(place.where, weight)
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
    return noted(place, block, layer, found)


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
    check_packed(place.where, forward, back)
    layer = RecurrentLayer(
        place.number,
        place.shape,
        spiking_neuron(place.where, block, found),
        forward,
        back,
        found.bias,
    )
    return noted(place, block, layer, found)


def _affine(place: Place, block: Any) -> Made:
    """A readout that never spikes: its membrane is read.

    Without dynamics it is the file's layer without a neuron, whose membrane is the running sum of
    what lava-dl hands out step by step. With dynamics lava-dl writes vThMant 262143, beyond the
    chip's 17 bits: the largest that fits is out of reach as long as v does not saturate.
    """
    check_neuron(place.where, block)
    weight = matrix(place.where, block, block.synapse)
    check_packed(place.where, weight)
    if not block.dynamics:
        layer = DenseLayer(place.number, place.shape, None, weight)
        note = "no neuron: the membrane is the sum of its outputs over time"
        return Made(layer, (f"{place.where}: {note}",))
    found = fold(place.where, block.neuron, place.shape[0])
    neuron = Neuron(*decays(place.where, block.neuron), np.array([THRESHOLD_MAX]))
    made = noted(
        place, block, DenseLayer(place.number, place.shape, neuron, weight, found.bias), found
    )
    note = f"{place.where}: vThMant {THRESHOLD_MAX}, which it never reaches: read its membrane"
    return Made(made.layer, (note, *made.notes), made.exact)


def _conv(place: Place, block: Any) -> Made:
    check_neuron(place.where, block)
    refuse_delays(place.where, block)
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
    return noted(place, block, layer, found)


def _pool(place: Place, block: Any) -> Made:
    check_neuron(place.where, block)
    refuse_delays(place.where, block)
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
    made = noted(place, block, layer, found)
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
