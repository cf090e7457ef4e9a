"""LIF neurons over time in compiled loops.

The kernels keep u and v in float64, where every rule of `fixedpoint` is exact: a decay factor has
at most 13 bits and |u| < 2^31, so the product has fewer than 53 and `trunc` rounds toward zero as
the chip does. A layer whose u may reach ±2^31 runs in int64 instead and wraps as Lava's int32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neurorobust.backends.engine.loops import Array, compiled, over_batch
from neurorobust.backends.engine.plan import LayerPlan
from neurorobust.fixedpoint import DECAY_BITS, DECAY_UNITY, STATE_LIMIT, STATE_SHIFT

_LIMIT, _RANGE, _CLIP = float(STATE_LIMIT), 2.0 * STATE_LIMIT, STATE_LIMIT - 1.0
_UNIT = float(1 << STATE_SHIFT)
_INT32 = 1 << 31


@dataclass(frozen=True, eq=False)
class Steps:
    """What a layer did: float32 spikes `[batch, time, neurons]` and v after the last step.

    `voltage` is v before the reset (float32, exact in 24 bits), `current` is u (int32); both are
    None unless asked for.
    """

    spikes: Tensor
    membrane: Tensor
    voltage: Tensor | None
    current: Tensor | None


def integrate(
    layer: LayerPlan,
    sums: Tensor,
    bias: Tensor | None = None,
    keep_voltage: bool = False,
    keep_current: bool = False,
) -> Steps:
    """Run a layer's neurons from zero state through all steps.

    Args:
        layer: the layer.
        sums: `[batch, time, neurons]` weighted sums before the shift; overwritten.
        bias: float64 `[batch, neurons]`, already << 6, in place of the layer's own (drive).
        keep_voltage: return v before the reset.
        keep_current: return u.
    """
    batch, steps, width = sums.shape
    membrane = torch.empty((batch, width), dtype=torch.float32)
    voltage = torch.empty(sums.shape if keep_voltage else (0, 0, 0), dtype=torch.float32)
    current = torch.empty(sums.shape if keep_current else (0, 0, 0), dtype=torch.int32)
    wide = layer.leaves_int32(steps)
    kernel: Callable[..., None] = _integrate_wrapping if wide else _integrate
    arrays = [t.numpy() for t in (sums, membrane, voltage, current)]
    biases = layer.bias if bias is None else bias.numpy()
    scale = 2.0 ** -(layer.synapse.shift if layer.synapse else 0)

    def work(first: int, last: int) -> None:
        mine = [array[first:last] for array in arrays]
        own = biases if bias is None else biases[first:last]
        kernel(*mine, own, layer.kept, layer.theta, scale)

    over_batch(work, batch, sums.numel())
    return Steps(
        sums.to(torch.float32),
        membrane,
        voltage if keep_voltage else None,
        current if keep_current else None,
    )


@compiled
def _integrate(
    sums: Array,
    membrane: Array,
    voltage: Array,
    current: Array,
    bias: Array,
    kept: Array,
    theta: Array,
    scale: float,
) -> None:
    """`fixedpoint.lif_step` over all steps in float64; sums become spikes in place."""
    batch, steps, width = sums.shape
    keep_voltage, keep_current = voltage.size > 0, current.size > 0
    state = np.zeros((2, width))
    for b in range(batch):
        row = b if bias.shape[0] > 1 else 0
        state[:] = 0.0
        for t in range(steps):
            for n in range(width):
                x = np.trunc(state[0, n] * kept[0, n])
                x += np.floor(np.float64(sums[b, t, n]) * scale) * _UNIT
                u = x
                if x > _LIMIT:
                    u = x - _RANGE
                if x <= -_LIMIT:
                    u = x + _RANGE
                v = np.trunc(state[1, n] * kept[1, n]) + u + bias[row, n]
                v = min(max(v, -_CLIP), _CLIP)
                spike = v > theta[n]
                if keep_voltage:
                    voltage[b, t, n] = v
                if keep_current:
                    current[b, t, n] = np.int32(u)
                sums[b, t, n] = 1.0 if spike else 0.0
                state[0, n] = u
                state[1, n] = 0.0 if spike else v
        for n in range(width):
            membrane[b, n] = state[1, n]


@compiled
def _integrate_wrapping(
    sums: Array,
    membrane: Array,
    voltage: Array,
    current: Array,
    bias: Array,
    kept: Array,
    theta: Array,
    scale: float,
) -> None:
    """The same in int64, with Lava's int32 wrap of both sums; rarely needed."""
    batch, steps, width = sums.shape
    for b in range(batch):
        row = b if bias.shape[0] > 1 else 0
        for n in range(width):
            u, v = 0, 0
            keep_u, keep_v = int(kept[0, n] * DECAY_UNITY), int(kept[1, n] * DECAY_UNITY)
            for t in range(steps):
                lifted = int(np.floor(np.float64(sums[b, t, n]) * scale)) << STATE_SHIFT
                u = _wrap_int32(_decay(u, keep_u) + lifted)
                if u > STATE_LIMIT:
                    u -= 2 * STATE_LIMIT
                elif u <= -STATE_LIMIT:
                    u += 2 * STATE_LIMIT
                v = _wrap_int32(_decay(v, keep_v) + u + int(bias[row, n]))
                v = min(max(v, 1 - STATE_LIMIT), STATE_LIMIT - 1)
                if voltage.size > 0:
                    voltage[b, t, n] = v
                if current.size > 0:
                    current[b, t, n] = u
                spike = v > theta[n]
                sums[b, t, n] = 1.0 if spike else 0.0
                v = 0 if spike else v
            membrane[b, n] = v


@compiled
def _decay(state: int, kept: int) -> int:
    size = (abs(state) * kept) >> DECAY_BITS
    return size if state >= 0 else -size


@compiled
def _wrap_int32(value: int) -> int:
    return ((value + _INT32) & (2 * _INT32 - 1)) - _INT32
