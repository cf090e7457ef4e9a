"""What a run costs: exact counts of operations, and an energy by Loihi 1's published figures.

synaptic operations   every spike times its fan-out, borders of convolutions counted exactly
neuron updates        neurons x steps
spikes                of every layer
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from typing_extensions import assert_never

from neurorobust.hardware.limits import LOIHI1_ENERGY
from neurorobust.netx.model import (
    ConvLayer,
    DenseLayer,
    NetxModel,
    RecurrentLayer,
    Shape,
    SpikingLayer,
    SynapseLayer,
)

LABEL = "by Loihi 1's figures per operation; none are published for Loihi 2"


@dataclass(frozen=True)
class Counts:
    """Operations of one layer over all samples and steps given."""

    number: int
    synaptic_operations: int
    neuron_updates: int
    active_updates: int
    spikes: int

    @property
    def joules(self) -> float:
        """Energy by Loihi 1's figures; a neuron update is active where an input or spike came.

        Which updates are active is not public in detail: here those of neurons that spiked.
        """
        price = {name: limit.value for name, limit in LOIHI1_ENERGY.items()}
        return (
            self.synaptic_operations * price["synaptic operation"]
            + self.active_updates * price["active neuron update"]
            + (self.neuron_updates - self.active_updates) * price["inactive neuron update"]
            + self.spikes * price["spike"]
        )


def count(
    model: NetxModel, spikes: Mapping[int, npt.NDArray[np.uint8]], first: npt.NDArray[np.uint8]
) -> tuple[Counts, ...]:
    """Count the operations of one run.

    Args:
        model: the network.
        spikes: of every layer with neurons, by number, `[batch, neurons, time]`.
        first: what entered the first synapse, `[batch, neurons, time]`.
    """
    source, shape, counts = first, model.input_shape, []
    for layer in model.spiking_layers:
        fired = spikes[layer.number]
        operations = 0
        if isinstance(layer, SynapseLayer):
            fan = fan_out(layer, shape)
            operations = int(source.sum((0, 2), dtype=np.int64) @ fan)
        own = own_fan_out(layer)
        if own is not None:
            operations += int(fired.sum((0, 2), dtype=np.int64) @ own)
        total = int(fired.sum(dtype=np.int64))
        counts.append(Counts(layer.number, operations, fired.size, total, total))
        source, shape = fired, layer.shape
    return tuple(counts)


def fan_out(layer: SynapseLayer, shape: Shape) -> npt.NDArray[np.int64]:
    """Synapses that one spike of each input reaches, `[inputs]` in C, H, W order.

    Args:
        layer: with synapses.
        shape: C, H, W of its input.
    """
    if isinstance(layer, DenseLayer | RecurrentLayer):
        return np.full(math.prod(shape), len(layer.weight), dtype=np.int64)
    if not isinstance(layer, ConvLayer):
        assert_never(layer)
    _, height, width = shape
    rows, columns = (
        _reached(size, layer.weight.shape[2 + axis], layer, axis)
        for axis, size in enumerate((height, width))
    )
    maps = len(layer.weight) // layer.groups
    plane = maps * np.multiply.outer(rows, columns)
    return np.broadcast_to(plane, shape).reshape(-1).astype(np.int64)


def own_fan_out(layer: SpikingLayer) -> npt.NDArray[np.int64] | None:
    """Synapses of a recurrent layer that a spike of its own reaches, `[neurons]`; else None."""
    back = layer.matrices().get("weight_rec")
    return None if back is None else np.full(back.shape[1], len(back), dtype=np.int64)


def _reached(size: int, kernel: int, layer: ConvLayer, axis: int) -> npt.NDArray[np.int64]:
    """Outputs along an axis that each position reaches."""
    stride, padding = layer.stride[axis], layer.padding[axis]
    starts = np.arange(layer.shape[1 + axis]) * stride - padding
    taps = np.arange(kernel) * layer.dilation[axis]
    touched = (starts[:, None] + taps[None, :]).reshape(-1)
    inside = touched[(touched >= 0) & (touched < size)]
    return np.bincount(inside, minlength=size).astype(np.int64)
