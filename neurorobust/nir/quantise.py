"""Float layers -> the chip's integers, and what that changed.

Each layer has a scale s, and every number of it is rounded once:

    weight   2 * round(s * W / 2)      even, in [-256, 254]
    vThMant  round(s * threshold)      at most 131071
    bias     round(s * bias)           13 bits
    iDecay, vDecay   round(4096 * (1 - keep))

s is the largest at which all of them fit: it makes the most of the weights' 8 bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from neurorobust.errors import ModelFileError
from neurorobust.fixedpoint import BIAS_BITS, DECAY_UNITY, THRESHOLD_MAX
from neurorobust.netx.bounds import bounds
from neurorobust.netx.model import (
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    IntArray,
    Layer,
    NetxModel,
    Neuron,
    Shape,
    SynapseLayer,
)
from neurorobust.nir.layers import FloatLayer, Floats

WEIGHT_MOST = 254
BIAS_MOST = (1 << (BIAS_BITS - 1)) - 1
SLACK = 1 + 1e-9  # of the largest weight: 254.0000001 is 254


@dataclass(frozen=True)
class LayerReport:
    """What rounding did to one layer.

    Attributes:
        name: `synapse -> neuron`.
        number: of the layer in the model.
        scale: s.
        weight_error: largest |change| of a weight, as a share of the largest weight.
        lost: weights that became 0 and were not.
        threshold_error, decay_error: largest relative change of a threshold; of what a decay keeps.
    """

    name: str
    number: int
    scale: float
    weight_error: float
    lost: int
    threshold_error: float
    decay_error: float


@dataclass(frozen=True)
class Quantised:
    """A network in integers, and what each layer lost."""

    model: NetxModel
    layers: tuple[LayerReport, ...]


def quantise(shape: Shape, layers: tuple[FloatLayer, ...], steps: int) -> Quantised:
    """Round every layer.

    Args:
        shape: C, H, W of the input.
        layers: as `read_graph` gives them.
        steps: for how long a sample runs; a readout that integrates must not spike by then.

    Raises:
        ModelFileError: a layer of zeros, or numbers too far apart for one scale.
    """
    made: list[Layer] = []
    reports: list[LayerReport] = []
    if layers[0].synapses.dense:
        shape = (math.prod(shape), 1, 1)
    else:
        made.append(InputLayer(0, shape, None))
    before = shape
    for layer in layers:
        if layer.synapses.dense and before[1:] != (1, 1):
            made.append(FlattenLayer(len(made), (math.prod(before), 1, 1)))
        rounded, scale = _layer(layer, len(made), steps)
        made.append(rounded)
        reports.append(_report(layer, rounded, scale))
        before = layer.shape
    return Quantised(NetxModel(shape, tuple(made)), tuple(reports))


def _layer(layer: FloatLayer, number: int, steps: int) -> tuple[SynapseLayer, float]:
    scale = _scale(layer)
    rounded = _rounded(layer, number, scale)
    if np.isinf(layer.threshold).any() and rounded.neuron is not None:
        known = bounds(rounded, steps)  # a readout must not reach the highest threshold there is
        most = float(known.voltage.max())
        if most > known.theta.min():
            scale *= float(known.theta.min()) / most / SLACK
            rounded = _rounded(layer, number, scale)
    return rounded, scale


def _scale(layer: FloatLayer) -> float:
    weight = np.abs(layer.weight).max()
    if weight == 0:
        raise ModelFileError(f"node {layer.synapses.name!a}: all weights are 0")
    limits = [WEIGHT_MOST * SLACK / weight]
    if np.isfinite(layer.threshold).all():
        limits.append(THRESHOLD_MAX / layer.threshold.max())
    if np.abs(layer.bias).max() > 0:
        limits.append(BIAS_MOST / np.abs(layer.bias).max())
    return float(min(limits))


def _rounded(layer: FloatLayer, number: int, scale: float) -> SynapseLayer:
    weight = 2 * np.rint(scale * layer.weight / 2).astype(np.int64)
    if not weight.any():
        raise ModelFileError(
            f"node {layer.synapses.name!a}: all weights round to 0 at scale {scale:.3g} "
            "(threshold or bias too large beside them)"
        )
    bias: IntArray | None = np.rint(scale * layer.bias).astype(np.int64)
    bias = bias if np.any(layer.bias) else None
    neuron = _neuron(layer, scale)
    if layer.synapses.dense:
        return DenseLayer(number, layer.shape, neuron, weight, bias)
    if neuron is None:
        raise ModelFileError(f"node {layer.synapses.name!a}: a convolution needs neurons")
    synapses = layer.synapses
    return ConvLayer(
        number, layer.shape, neuron, weight, bias,
        synapses.stride, synapses.padding, synapses.dilation, synapses.groups,
    )  # fmt: skip


def _neuron(layer: FloatLayer, scale: float) -> Neuron | None:
    """None: NetX's accumulator, for a last matrix that adds up what comes (and has no bias)."""
    endless = bool(np.isinf(layer.threshold).all())
    if endless and layer.name == layer.synapses.name and not np.any(layer.bias):
        return None
    threshold = np.full(1, THRESHOLD_MAX) if endless else np.rint(scale * layer.threshold)
    return Neuron(
        np.rint(DECAY_UNITY * (1 - layer.keep_u)).astype(np.int64),
        np.rint(DECAY_UNITY * (1 - layer.keep_v)).astype(np.int64),
        np.maximum(threshold, 1).astype(np.int64),
    )


def _report(layer: FloatLayer, rounded: SynapseLayer, scale: float) -> LayerReport:
    weight = layer.weight
    change = np.abs(rounded.weight / scale - weight)
    neuron = rounded.neuron
    threshold = decay = 0.0
    if neuron is not None:
        pairs = ((layer.keep_u, neuron.current_decay), (layer.keep_v, neuron.voltage_decay))
        decay = max(_furthest(kept, 1 - stored / DECAY_UNITY) for kept, stored in pairs)
        if np.isfinite(layer.threshold).all():
            share = np.abs(neuron.threshold / scale - layer.threshold) / layer.threshold
            threshold = float(share.max())
    return LayerReport(
        name=layer.name,
        number=rounded.number,
        scale=scale,
        weight_error=float(change.max() / np.abs(weight).max()),
        lost=int(((rounded.weight == 0) & (weight != 0)).sum()),
        threshold_error=threshold,
        decay_error=decay,
    )


def _furthest(first: Floats, second: Floats) -> float:
    return float(np.abs(first - second).max())
