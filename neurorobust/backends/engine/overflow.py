"""Where u can leave its 24 bits: a bound that holds for any input, and what a run really did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from neurorobust.backends.engine import gemm, recurrent
from neurorobust.backends.engine.backend import EngineBackend
from neurorobust.backends.engine.layout import internal, signals
from neurorobust.errors import BadInput
from neurorobust.fixedpoint import DECAY_UNITY, STATE_LIMIT, STATE_SHIFT, IntArray, decay
from neurorobust.netx import bounds as static
from neurorobust.netx.model import SynapseLayer
from neurorobust.types import Inputs


@dataclass(frozen=True)
class Bound:
    """One layer.

    Attributes:
        layer: number in the file.
        current: no |u| before the wrap exceeds it, whatever the binary input, from rest.
    """

    layer: int
    current: int

    @property
    def can_wrap(self) -> bool:
        """Whether the bound reaches 2^23; if not, u never wraps."""
        return self.current >= STATE_LIMIT


def bounds(engine: EngineBackend, steps: int) -> tuple[Bound, ...]:
    """Of every layer with synapses, over so many steps; see `netx.bounds`."""
    return tuple(
        Bound(layer.number, int(np.ceil(static.bounds(layer, steps).current.max())))
        for layer in engine.model.spiking_layers
        if isinstance(layer, SynapseLayer)
    )


def before_wrap(engine: EngineBackend, inputs: Inputs, number: int) -> IntArray:
    """U before it wraps, int64 `[batch, time, neurons]`, neurons in H, W, C order.

    Args:
        engine: on the CPU.
        inputs: spikes or drive.
        number: of a layer with synapses.

    Raises:
        BadInput: the layer has none.
    """
    layers = engine.plan.fed(inputs.driven)
    place = next((i for i, layer in enumerate(layers) if layer.number == number), None)
    layer = None if place is None else layers[place]
    if layer is None or layer.synapse is None or place is None:
        raise BadInput(f"overflow: layer {number} has no synapses")
    earlier = [layers[place - 1].number] if place else []
    traces = engine.run(inputs, [*earlier, number]).layers
    if place:
        source = internal(traces[earlier[0]].spikes, layers[place - 1].shape)
    else:
        source = signals(inputs.values)
    sums = gemm.weighted_sums(layer.synapse, source.contiguous()).to(torch.float64)
    if layer.synapse.shift:
        sums = sums.mul_(2.0**-layer.synapse.shift).floor_()
    if layer.feedback is not None:
        spikes = internal(traces[number].spikes, layer.shape)
        sums = sums + recurrent.returned(layer.feedback, spikes)
    after = internal(traces[number].u, layer.shape).numpy().astype(np.int64)
    past = np.zeros_like(after)
    past[:, 1:] = after[:, :-1]
    factor = np.rint((1 - layer.kept[0]) * DECAY_UNITY).astype(np.int64)
    found: IntArray = decay(past, factor) + (sums.numpy().astype(np.int64) << STATE_SHIFT)
    return found


def wraps(current: IntArray) -> IntArray:
    """How often u left its 24 bits, `[batch]`, of `before_wrap`."""
    outside = (current > STATE_LIMIT) | (current <= -STATE_LIMIT)
    count: IntArray = outside.sum((1, 2))
    return count
