"""The surrogate adjoint of LIF neurons, fused into one compiled loop backward in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neurorobust.backends.engine import bfloat16
from neurorobust.backends.engine.intrinsics import uncounted
from neurorobust.backends.engine.layer import LayerPlan
from neurorobust.backends.engine.loops import Array, compiled, over_batch
from neurorobust.backends.engine.prefetch import prefetch
from neurorobust.backends.engine.shapes import (
    ATAN,
    FAST_SIGMOID,
    GAUSSIAN,
    KERNELS,
    RECTANGLE,
    SIGMOID,
    STRAIGHT_THROUGH,
    TRIANGLE,
)
from neurorobust.fixedpoint import STATE_SHIFT
from neurorobust.surrogates import Surrogate

_UNIT = np.float32(1 << STATE_SHIFT)
_apart = bfloat16.apart
_AHEAD = 8  # rows: backward in time is an order that no processor guesses
_PI, _HALF_PI = np.float32(np.pi), np.float32(np.pi / 2)


@dataclass(frozen=True, eq=False)
class Gradients:
    """What a layer passes back.

    Attributes:
        sums: float32 or bfloat16 `[batch, time, neurons]`, of the weighted sums a (after their
            shift); `time` is 1 where it is the same at every step. None unless asked for.
        level: float32 `[batch, neurons]`, of bias_mant (or drive), which is held over time.
    """

    sums: Tensor | None
    level: Tensor


def adjoint(
    layer: LayerPlan,
    surrogate: Surrogate,
    voltage: Tensor,
    spike_gradient: Tensor,
    membrane_gradient: Tensor | None,
    scale: Tensor | None = None,
    want_sums: bool = True,
    dtype: torch.dtype = torch.float32,
    memory: bool = True,
) -> Gradients:
    """The gradients of a layer's input from those of its output.

    ds/dv is the surrogate, dv/du = 1, the leaks are linear, du/da = 64; wraps and clips are passed
    straight through and nothing flows through the reset, as in SLAYER (Shrestha & Orchard, NeurIPS
    2018; lava-dl `spike/spike.py`, `neuron/dynamics/leaky_integrator.py`). The membrane's gradient
    enters at the last step, where the neuron did not spike.

    Args:
        layer: the layer.
        surrogate: shape and width; the width is a fraction of theta, at least of one vThMant.
        voltage: float32 `[batch, time, neurons]`, v before the reset; or v - theta in bfloat16.
        spike_gradient: float32 or bfloat16 `[batch, time, neurons]`.
        membrane_gradient: float32 `[batch, neurons]`, or None for zeros.
        scale: float32, a factor of ds/dv that broadcasts to `[batch, time, neurons]`.
        want_sums: return the gradient of the sums.
        dtype: of the gradient of the sums, float32 or bfloat16.
        memory: whether a step's u and v reach the next.
    """
    adjoining = Adjoining(layer, surrogate, voltage, membrane_gradient, memory)
    sums = torch.empty(voltage.shape if want_sums else (0, 0, 0), dtype=dtype)
    adjoining.back(voltage, spike_gradient, scale, sums)
    return Gradients(sums if want_sums else None, adjoining.level)


class Adjoining:
    """The state of a layer's adjoint between two steps; `back` goes some steps on."""

    def __init__(
        self,
        layer: LayerPlan,
        surrogate: Surrogate,
        voltage: Tensor,
        membrane_gradient: Tensor | None,
        memory: bool = True,
    ) -> None:
        self._constants = _constants(layer, surrogate.width, memory)
        self._code = KERNELS[surrogate.shape]
        self._carried = torch.zeros((len(voltage), 2, layer.neurons), dtype=torch.float32)
        if membrane_gradient is not None:
            apart = voltage.dtype == torch.bfloat16
            silent = voltage[:, -1] <= (0 if apart else torch.from_numpy(self._constants[2]))
            self._carried[:, 1] = membrane_gradient * silent
        self.level = torch.zeros((len(voltage), layer.neurons), dtype=torch.float32)

    def back(
        self, voltage: Tensor, spike_gradient: Tensor, scale: Tensor | None, sums: Tensor
    ) -> None:
        """Through the steps of `voltage`, the last one first; fills `sums` unless it is empty."""
        shape = voltage.shape
        factors = torch.empty((0, 0, 0)) if scale is None else scale.to(torch.float32).expand(shape)
        given = (spike_gradient.expand(shape), voltage, factors)
        arrays = [bfloat16.array(tensor.contiguous()) for tensor in given]
        arrays += [bfloat16.array(tensor) for tensor in (sums, self.level, self._carried)]
        kernel: Callable[..., None] = _adjoint

        def work(first: int, last: int) -> None:
            mine = [array[first:last] for array in arrays]
            kernel(*mine, self._constants, self._code)

        over_batch(work, len(voltage), voltage.numel())


def _constants(layer: LayerPlan, width: float, memory: bool) -> Array:
    """Rows of the kernel's `constants`."""

    def make() -> Array:
        slope = 1.0 / (width * np.maximum(layer.theta, float(_UNIT)))
        kept = layer.kept * memory
        rows: Array = np.stack([kept[0], kept[1], layer.theta, slope]).astype(np.float32)
        return rows

    return layer.noted("adjoint", (width, memory), make)


@compiled
def _adjoint(
    spike_gradient: Array,
    voltage: Array,
    scale: Array,
    sums: Array,
    level: Array,
    carried: Array,
    constants: Array,
    code: int,
) -> None:
    """Backward in time; rows of `constants`: kept of u, kept of v, theta, 1 / (width * theta)."""
    voltage, spike_gradient, sums = uncounted(voltage), uncounted(spike_gradient), uncounted(sums)
    batch, steps, width = voltage.shape
    scaled, want_sums = scale.size > 0, sums.size > 0
    bell = np.empty(width, dtype=np.float32)
    one, zero, half, four = np.float32(1), np.float32(0), np.float32(0.5), np.float32(4)
    for b in range(batch):
        for t in range(steps - 1, -1, -1):
            sample, step = (b, t - _AHEAD) if t >= _AHEAD else (b + 1, t - _AHEAD + steps)
            if sample < batch and step >= 0:
                prefetch(voltage[sample, step])
                prefetch(spike_gradient[sample, step])
                if want_sums:
                    prefetch(sums[sample, step])
            if code == FAST_SIGMOID:
                for n in range(width):
                    x = one + abs(_apart(voltage[b, t, n], constants[2, n]) * constants[3, n])
                    bell[n] = constants[3, n] / (x * x)
            elif code == TRIANGLE:
                for n in range(width):
                    x = abs(_apart(voltage[b, t, n], constants[2, n]) * constants[3, n])
                    bell[n] = max(one - x, zero) * constants[3, n]
            elif code == ATAN:
                for n in range(width):
                    x = _HALF_PI * (_apart(voltage[b, t, n], constants[2, n]) * constants[3, n])
                    bell[n] = constants[3, n] / (one + x * x)
            elif code == STRAIGHT_THROUGH:
                for n in range(width):
                    bell[n] = constants[3, n]
            elif code == SIGMOID:
                for n in range(width):
                    x = abs(_apart(voltage[b, t, n], constants[2, n]) * constants[3, n])
                    tail = np.exp(-four * x)
                    bell[n] = constants[3, n] * four * tail / ((one + tail) * (one + tail))
            elif code == GAUSSIAN:
                for n in range(width):
                    x = _apart(voltage[b, t, n], constants[2, n]) * constants[3, n]
                    bell[n] = constants[3, n] * np.exp(-_PI * x * x)
            elif code == RECTANGLE:
                for n in range(width):
                    x = abs(_apart(voltage[b, t, n], constants[2, n]) * constants[3, n])
                    bell[n] = constants[3, n] if x < half else zero
            else:  # no shape of `KERNELS`: nobody may mistake it for a gradient
                bell[:] = np.nan
            if scaled:
                for n in range(width):
                    bell[n] *= scale[b, t, n]
            for n in range(width):
                to_v = bfloat16.widened(spike_gradient[b, t, n]) * bell[n] + carried[b, 1, n]
                to_u = to_v + carried[b, 0, n]
                level[b, n] += to_v * _UNIT
                carried[b, 1, n] = constants[1, n] * to_v
                carried[b, 0, n] = constants[0, n] * to_u
                if want_sums:
                    sums[b, t, n] = bfloat16.narrowed(to_u * _UNIT, sums)
