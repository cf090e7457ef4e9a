"""What no input whatsoever can exceed: static bounds on sums, currents and voltages of a layer.

Interval arithmetic over all binary inputs, with Lava's packed weights:

    a in [a-, a+]                 sums of the negative and of the positive weights, shifted
    |u| <= 64 * max|a| * K_u      K = 1 + kept + kept^2 + ...  (at most `steps` terms)
    v   <= (u+ + 64 * bias) * K_v

A bound may be far above what happens; where it does not reach a limit, nothing can.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from typing_extensions import assert_never

from neurorobust.fixedpoint import (
    DECAY_UNITY,
    STATE_LIMIT,
    STATE_SHIFT,
    cast_bias,
    pack_dense_weights,
    pack_recurrent_weights,
)
from neurorobust.netx.model import (
    ACCUMULATOR,
    ConvLayer,
    DenseLayer,
    IntArray,
    RecurrentLayer,
    SynapseLayer,
)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Bounds:
    """Of one layer, float64, one entry a neuron (dense) or channel (conv).

    Attributes:
        low, high: of the weighted sums a of one step.
        largest: the largest single contribution |w| of one input spike to a.
        current: of |u|.
        voltage: of v before the reset, from above; `inf` where it grows without end.
        resting: v that the bias alone leads to, from above.
        theta: vThMant << 6.
    """

    low: Floats
    high: Floats
    largest: Floats
    current: Floats
    voltage: Floats
    resting: Floats
    theta: Floats

    @property
    def wraps(self) -> npt.NDArray[np.bool_]:
        """Where u may leave 24 bits."""
        return self.current >= STATE_LIMIT

    @property
    def silent(self) -> npt.NDArray[np.bool_]:
        """Where no input makes a spike: v is clipped to 2^23 - 1, and a spike needs v > theta."""
        return np.minimum(self.voltage, STATE_LIMIT - 1) <= self.theta

    @property
    def restless(self) -> npt.NDArray[np.bool_]:
        """Where the bias alone makes spikes."""
        return np.minimum(self.resting, STATE_LIMIT - 1) > self.theta

    def spikes_to_wrap(self) -> int:
        """Input spikes of the largest weight in one step below which no current can wrap.

        From rest; for the neuron that needs fewest.
        """
        per_spike = self.largest[self.wraps] * (1 << STATE_SHIFT)
        return int(np.ceil(STATE_LIMIT / per_spike.max())) if per_spike.size else 0


def bounds(layer: SynapseLayer, steps: int | None = None) -> Bounds:
    """Bounds over all binary inputs.

    Args:
        layer: with synapses.
        steps: for how long it runs from rest; None: for ever.
    """
    low, high, largest = _sums(layer)
    neuron = layer.neuron or ACCUMULATOR
    kept_u, kept_v = (
        1 - np.asarray(decay, dtype=np.float64).reshape(-1) / DECAY_UNITY
        for decay in (neuron.current_decay, neuron.voltage_decay)
    )
    unit = float(1 << STATE_SHIFT)
    gain_u, gain_v = _gain(kept_u, steps), _gain(kept_v, steps)
    current = _times(np.maximum(-low, high) * unit, gain_u)
    rising = np.minimum(_times(np.maximum(high, 0) * unit, gain_u), 2.0 * STATE_LIMIT)
    # a current may be positive where only negative sums exist: once it has wrapped
    rising = np.where(current >= STATE_LIMIT, float(STATE_LIMIT), rising)
    bias = np.zeros(1) if layer.bias is None else cast_bias(layer.bias).astype(np.float64)
    lifted = bias.reshape(-1) * unit
    theta = np.asarray(neuron.threshold, dtype=np.float64).reshape(-1) * unit
    values = (
        low, high, largest, current,
        _times(np.maximum(rising + lifted, 0), gain_v), _times(np.maximum(lifted, 0), gain_v),
        theta,
    )  # fmt: skip
    return Bounds(*np.broadcast_arrays(*values))


def _sums(layer: SynapseLayer) -> tuple[Floats, Floats, Floats]:
    """Lowest and highest sum of a step, and the largest contribution of one spike."""
    if isinstance(layer, ConvLayer):
        parts = [(layer.weight.reshape(len(layer.weight), -1), 0)]
    elif isinstance(layer, DenseLayer):
        packed = pack_dense_weights(layer.weight)
        parts = [(packed.weights, packed.shift)]
    elif isinstance(layer, RecurrentLayer):
        pair = pack_recurrent_weights(layer.weight, layer.weight_rec)
        parts = [(packed.weights, packed.shift) for packed in pair]
    else:
        assert_never(layer)
    buckets = _buckets(layer)
    low = sum(_floor(np.minimum(weights, 0).sum(1), shift) for weights, shift in parts) - buckets
    high = sum(_floor(np.maximum(weights, 0).sum(1), shift) for weights, shift in parts)
    largest = np.max([np.abs(weights).max(1) / 2.0**shift for weights, shift in parts], axis=0)
    return np.asarray(low), np.asarray(high), np.asarray(largest)


def _buckets(layer: SynapseLayer) -> int:
    """Each delay's sum is shifted on its own: that can round down once more for each."""
    delay = getattr(layer, "delay", None)
    return 0 if delay is None else len(np.unique(delay)) - 1


def _floor(sums: IntArray, shift: int) -> Floats:
    return (sums >> shift).astype(np.float64)


def _gain(kept: Floats, steps: int | None) -> Floats:
    """`1 + kept + kept^2 + ...`, at most `steps` terms."""
    endless = np.where(kept < 1, 1 / np.maximum(1 - kept, 1e-300), np.inf)
    if steps is None:
        return endless
    geometric = np.where(kept < 1, (1 - kept**steps) * np.where(kept < 1, endless, 1.0), steps)
    return np.asarray(geometric, dtype=np.float64)


def _times(value: Floats, gain: Floats) -> Floats:
    """A product in which nothing stays nothing for ever."""
    with np.errstate(invalid="ignore"):
        return np.where(value == 0, 0.0, value * gain)
