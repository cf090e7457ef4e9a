"""Will it fit? An estimate from public figures; Intel's compiler alone decides.

Dense synapses, a core holding n of a layer's neurons:

    words = axons * ceil((n * bits + header) / 32),    bits = 8, and 6 more where delays differ

with the smallest number of cores on which neurons, words and axons stay within the limits. On the
784-128-64-10 network of lava's tutorials this gives the 3 + 1 + 1 cores that its compiler took.
Conv kernels are shared by all places of a map, and no formula is public for them. Our form: a core
holds whole rows of all channels, all kernels, and an axon for every input that its rows see.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from typing_extensions import assert_never

from neurorobust.hardware.limits import DELAY_BITS, HEADER_BITS, LOIHI2, WEIGHT_BITS
from neurorobust.netx.model import (
    ConvLayer,
    DenseLayer,
    InputLayer,
    NetxModel,
    RecurrentLayer,
    Shape,
    SpikingLayer,
)

WORD = 32


@dataclass(frozen=True)
class LayerFit:
    """One layer on the chip, estimated.

    Attributes:
        cores: cores it takes; 0: its smallest part already needs more than a core.
        neurons: of the layer.
        axons: input axons a core.
        memory: words of synapses on its fullest core.
        delay: longest delay in steps.
    """

    number: int
    kind: str
    cores: int
    neurons: int
    axons: int
    memory: int
    delay: int

    def use(self) -> dict[str, float]:
        """Shares of a core's limits on the fullest core, 1 being full."""
        each = math.ceil(self.neurons / max(self.cores, 1))
        given = {"neurons": each, "memory": self.memory, "axons": self.axons}
        return {name: value / LOIHI2[name].value for name, value in given.items()}


@dataclass(frozen=True)
class Fit:
    """A network on one Loihi 2 chip, estimated."""

    layers: tuple[LayerFit, ...]

    @property
    def cores(self) -> int:
        """Cores of all layers."""
        return sum(layer.cores for layer in self.layers)

    @property
    def chip_cores(self) -> int:
        """Cores of a chip."""
        return int(LOIHI2["cores"].value)

    @property
    def margin(self) -> float:
        """Share of the chip's cores that stays free; below 0: it does not fit."""
        return 1 - self.cores / LOIHI2["cores"].value

    @property
    def fits(self) -> bool:
        """Whether every layer has its cores and axons, and all of them a chip."""
        return all(layer.cores > 0 for layer in self.layers) and self.margin >= 0


def fit(model: NetxModel) -> Fit:
    """Estimate cores, memory, axons and delays of every layer."""
    source, fitted = model.input_shape, []
    for layer in model.spiking_layers:
        fitted.append(_layer(layer, source))
        source = layer.shape
    return Fit(tuple(fitted))


def _layer(layer: SpikingLayer, source: Shape) -> LayerFit:
    neurons = math.prod(layer.shape)
    parts = layer.shape[1] if isinstance(layer, ConvLayer) else neurons
    least = min(parts, max(1, math.ceil(neurons / LOIHI2["neurons"].value)))
    found = (n for n in range(least, parts + 1) if _within(layer, source, n))
    cores = next(found, 0)
    delay = getattr(layer, "delay", None)
    return LayerFit(
        number=layer.number,
        kind=layer.kind,
        cores=cores,
        neurons=neurons,
        axons=_axons(layer, source, cores or parts),
        memory=_words(layer, source, cores or parts),
        delay=0 if delay is None else int(np.max(delay)),
    )


def _within(layer: SpikingLayer, source: Shape, cores: int) -> bool:
    """Whether so many cores hold the layer."""
    channels, rows, columns = layer.shape
    here = math.ceil(channels * rows * columns / cores)
    if isinstance(layer, ConvLayer):
        here = channels * math.ceil(rows / cores) * columns
    return (
        here <= LOIHI2["neurons"].value
        and _axons(layer, source, cores) <= LOIHI2["axons"].value
        and _words(layer, source, cores) <= LOIHI2["memory"].value
    )


def _axons(layer: SpikingLayer, source: Shape, cores: int) -> int:
    """Input axons of the fullest of so many cores."""
    if isinstance(layer, ConvLayer):
        channels, height, width = source
        span = layer.dilation[0] * (layer.weight.shape[2] - 1) + 1
        seen = (math.ceil(layer.shape[1] / cores) - 1) * layer.stride[0] + span
        return channels * width * min(height, seen)
    if isinstance(layer, RecurrentLayer):
        return math.prod(source) + math.prod(layer.shape)
    if isinstance(layer, DenseLayer):
        return math.prod(source)
    if isinstance(layer, InputLayer):
        return 0  # no synapses
    assert_never(layer)


def _words(layer: SpikingLayer, source: Shape, cores: int) -> int:
    """Words of synapses on the fullest of so many cores."""
    bits = WEIGHT_BITS
    if isinstance(layer, ConvLayer):
        return math.ceil(int(layer.weight.size) * bits / WORD)
    if getattr(layer, "delay", None) is not None:
        bits += DELAY_BITS
    here = math.ceil(math.prod(layer.shape) / cores)
    return _axons(layer, source, cores) * math.ceil((here * bits + HEADER_BITS) / WORD)
