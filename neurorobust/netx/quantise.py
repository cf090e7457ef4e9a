"""One deployed network at other precisions: fewer weight bits, coarser decays, other thresholds.

A weight of b bits is k * q, k a whole number in [-2^(b-1), 2^(b-1) - 1], and is stored in SLAYER's
units as k * 2^(9-b), so that every precision uses all of the chip's range. What that multiplies the
weights by, s = 2^(9-b) / q, multiplies threshold and bias of the layer too: the layer stays what it
was but for rounding. q is one for the layer:

    fixed   q = 2^(9-b)      s = 1: the chip's grid with the last bits struck off
    search  q of the smallest squared error of the weights, among `SEARCHED` ranges
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from neurorobust.errors import BadInput, ModelFileError
from neurorobust.fixedpoint import BIAS_BITS, DECAY_BITS, DECAY_UNITY, THRESHOLD_MAX
from neurorobust.netx.model import (
    InputLayer,
    IntArray,
    NetxModel,
    Neuron,
    SpikingLayer,
    SynapseLayer,
)

MOST_BITS = 8
SCALES = ("search", "fixed")
SEARCHED = np.geomspace(0.2, 1.0, 60)  # clipping ranges, as shares of the largest weight
BIAS_MOST = (1 << (BIAS_BITS - 1)) - 1


@dataclass(frozen=True)
class Precision:
    """How coarse a network is.

    Attributes:
        weight_bits: 1 to 8, the sign counted.
        decay_bits: 1 to 12, of iDecay and vDecay.
        threshold_scale: what every threshold is multiplied by.
        scale: one of `SCALES`.
    """

    weight_bits: int = MOST_BITS
    decay_bits: int = DECAY_BITS
    threshold_scale: float = 1.0
    scale: str = "search"

    def __post_init__(self) -> None:
        for what, value, most in (
            ("weight bits", self.weight_bits, MOST_BITS),
            ("decay bits", self.decay_bits, DECAY_BITS),
        ):
            if not 1 <= value <= most:
                raise BadInput(f"{what} {value}: outside [1, {most}]")
        if not 0 < self.threshold_scale < float("inf"):
            raise BadInput(f"threshold scale {self.threshold_scale}: not above 0")
        if self.scale not in SCALES:
            raise BadInput(f"scale {self.scale!r}: unknown, known: {', '.join(SCALES)}")

    @property
    def name(self) -> str:
        """`w6`, `w6-d8`, `w6-t1.5`, `w6-fixed`."""
        parts = [f"w{self.weight_bits}"]
        parts += [f"d{self.decay_bits}"] if self.decay_bits != DECAY_BITS else []
        parts += [f"t{self.threshold_scale:g}"] if self.threshold_scale != 1 else []
        return "-".join([*parts, *(["fixed"] if self.scale == "fixed" else [])])


def quantise(model: NetxModel, precision: Precision) -> NetxModel:
    """The same network at another precision; eight even bits and twelve are the network itself.

    Args:
        model: as read.
        precision: what is left of it.

    Raises:
        ModelFileError: a layer that loses all its weights, or a threshold or bias that outgrows the
            chip's bits; names the layer.
    """
    return model.with_layers(
        _layer(layer, precision) if isinstance(layer, SpikingLayer) else layer
        for layer in model.layers
    )


def _layer(layer: SpikingLayer, precision: Precision) -> SpikingLayer:
    if isinstance(layer, InputLayer):
        neuron = None if layer.neuron is None else _neuron(layer, layer.neuron, precision, 1.0)
        return replace(layer, neuron=neuron)
    step = _step(layer, precision)
    unit = 1 << (MOST_BITS + 1 - precision.weight_bits)
    stretch = unit / step
    matrices = {
        name: _rounded(weights, step, precision.weight_bits, unit)
        for name, weights in layer.matrices().items()
    }
    if not any(np.any(weights) for weights in matrices.values()):
        raise ModelFileError(
            f"{_name(layer)}: all weights round to 0 at {precision.weight_bits} bits"
        )
    changes: dict[str, Any] = {}
    if layer.bias is not None:
        bias = np.rint(layer.bias * stretch).astype(np.int64)
        if stretch != 1 and np.abs(bias).max() > BIAS_MOST:
            raise ModelFileError(
                f"{_name(layer)}: bias {np.abs(bias).max()} at {precision.weight_bits} bits, "
                f"limit {BIAS_MOST}"
            )
        changes["bias"] = bias
    if layer.neuron is not None:
        changes["neuron"] = _neuron(layer, layer.neuron, precision, stretch)
    return replace(layer.with_matrices(matrices), **changes)


def _step(layer: SynapseLayer, precision: Precision) -> float:
    """Q."""
    bits = precision.weight_bits
    fixed = float(1 << (MOST_BITS + 1 - bits))
    weights = np.concatenate([matrix.reshape(-1) for matrix in layer.matrices().values()])
    if precision.scale == "fixed" or (bits == MOST_BITS and not np.any(weights % 2)):
        return fixed
    largest = float(np.abs(weights).max())
    candidates = [fixed, *(share * largest / (1 << (bits - 1)) for share in SEARCHED)]
    highest = float(THRESHOLD_MAX if layer.neuron is None else layer.neuron.threshold.max())
    allowed = [
        step for step in candidates
        if step == fixed or highest * precision.threshold_scale * fixed / step <= THRESHOLD_MAX
    ]  # fmt: skip
    best: float = min(allowed, key=lambda step: _squared_error(weights, step, bits))
    return best


def _squared_error(weights: IntArray, step: float, bits: int) -> float:
    return float(np.square(weights - step * _codes(weights, step, bits)).sum())


def _codes(weights: IntArray, step: float, bits: int) -> IntArray:
    """K."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    codes: IntArray = np.clip(np.rint(weights / step), low, high).astype(np.int64)
    return codes


def _rounded(weights: IntArray, step: float, bits: int, unit: int) -> IntArray:
    if bits == MOST_BITS and step == unit and np.any(weights % 2):
        raise ModelFileError("odd weights have 9 bits, not 8; scale search rounds them")
    return _codes(weights, step, bits) * unit


def _neuron(layer: SpikingLayer, neuron: Neuron, precision: Precision, stretch: float) -> Neuron:
    factor = precision.threshold_scale * stretch
    threshold = neuron.threshold
    if factor != 1:
        threshold = np.rint(threshold * factor).astype(np.int64)
        if threshold.max() > max(THRESHOLD_MAX, neuron.threshold.max()):
            raise ModelFileError(
                f"{_name(layer)}: vThMant {threshold.max()} at this scale, limit {THRESHOLD_MAX}"
            )
    unit = 1 << (DECAY_BITS - precision.decay_bits)

    def coarse(decay: IntArray) -> IntArray:
        kept: IntArray = np.clip(np.rint(decay / unit).astype(np.int64) * unit, 0, DECAY_UNITY)
        return kept

    return Neuron(coarse(neuron.current_decay), coarse(neuron.voltage_decay), threshold)


def _name(layer: SpikingLayer) -> str:
    return f"layer {layer.number} ({layer.kind})"
