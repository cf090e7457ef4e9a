"""The surrogate adjoint of LIF neurons, fused into one compiled loop backward in time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from neurorobust.backends.engine.loops import Array, compiled, over_batch
from neurorobust.backends.engine.plan import LayerPlan
from neurorobust.fixedpoint import STATE_SHIFT
from neurorobust.surrogates import Surrogate

SHAPE_CODES = {"fast-sigmoid": 0, "triangle": 1, "atan": 2}

_UNIT = float(1 << STATE_SHIFT)
_HALF_PI = np.float32(np.pi / 2)


def adjoint(
    layer: LayerPlan,
    surrogate: Surrogate,
    voltage: Tensor,
    spike_gradient: Tensor,
    membrane_gradient: Tensor,
) -> Tensor:
    """The gradient of the weighted sums (of the bias_mant, step by step, for an input layer).

    ds/dv is the surrogate, dv/du = 1, the leaks are linear, du/da = 64 * 2^-shift; wraps and clips
    are passed straight through and nothing flows through the reset, as in SLAYER (Shrestha &
    Orchard, NeurIPS 2018; lava-dl `spike/spike.py`, `neuron/dynamics/leaky_integrator.py`). The
    membrane's gradient enters at the last step, where the neuron did not spike.

    Args:
        layer: the layer.
        surrogate: shape and width; the width is a fraction of theta, at least of one vThMant.
        voltage: float32 `[batch, time, neurons]`, v before the reset.
        spike_gradient: float32 `[batch, time, neurons]`.
        membrane_gradient: float32 `[batch, neurons]`.
    """
    shift = layer.synapse.shift if layer.synapse else 0
    kept_current = layer.kept[0] if layer.synapse else np.zeros_like(layer.kept[0])
    slope = 1.0 / (surrogate.width * np.maximum(layer.theta, _UNIT))
    constants = np.stack([kept_current, layer.kept[1], layer.theta, slope]).astype(np.float32)
    code, factor = SHAPE_CODES[surrogate.shape], np.float32(_UNIT * 2.0**-shift)
    result = torch.empty(voltage.shape, dtype=torch.float32)
    arrays = [
        t.numpy()
        for t in (spike_gradient.contiguous(), membrane_gradient.contiguous(), voltage, result)
    ]

    kernel: Callable[..., None] = _adjoint

    def work(first: int, last: int) -> None:
        kernel(*(array[first:last] for array in arrays), constants, code, factor)

    over_batch(work, len(voltage), voltage.numel())
    return result


@compiled
def _adjoint(
    spike_gradient: Array,
    membrane_gradient: Array,
    voltage: Array,
    result: Array,
    constants: Array,
    code: int,
    factor: np.float32,
) -> None:
    """Backward in time; rows of `constants`: kept of u, kept of v, theta, 1 / (width * theta)."""
    batch, steps, width = voltage.shape
    carried = np.zeros((2, width), dtype=np.float32)
    one, zero = np.float32(1), np.float32(0)
    for b in range(batch):
        for n in range(width):
            silent = voltage[b, steps - 1, n] <= constants[2, n]
            carried[0, n] = zero
            carried[1, n] = membrane_gradient[b, n] if silent else zero
        for t in range(steps - 1, -1, -1):
            for n in range(width):
                x = abs((voltage[b, t, n] - constants[2, n]) * constants[3, n])
                if code == 0:
                    bell = one / (one + x)
                    bell = bell * bell
                elif code == 1:
                    bell = max(one - x, zero)
                else:
                    bell = one / (one + (_HALF_PI * x) * (_HALF_PI * x))
                to_v = spike_gradient[b, t, n] * (bell * constants[3, n]) + carried[1, n]
                to_u = to_v + carried[0, n]
                result[b, t, n] = to_u * factor
                carried[1, n] = constants[1, n] * to_v
                carried[0, n] = constants[0, n] * to_u
