"""The surrogate adjoint of LIF neurons on a GPU: a program takes a block backward through time.

The rules are those of `adjoint_cpu`, in float32; last bits may differ.
"""

from __future__ import annotations

import math

import torch
import triton.language as tl
from torch import Tensor

from neurorobust.backends.engine import shapes
from neurorobust.backends.engine.gpu.kernels import jitted, launch
from neurorobust.fixedpoint import STATE_SHIFT
from neurorobust.surrogates import Surrogate

_UNIT = tl.constexpr(float(1 << STATE_SHIFT))
_MINUS_PI = tl.constexpr(-math.pi)
_HALF_PI = tl.constexpr(math.pi / 2)
_FAST_SIGMOID = tl.constexpr(shapes.FAST_SIGMOID)
_TRIANGLE = tl.constexpr(shapes.TRIANGLE)
_ATAN = tl.constexpr(shapes.ATAN)
_STRAIGHT_THROUGH = tl.constexpr(shapes.STRAIGHT_THROUGH)
_SIGMOID = tl.constexpr(shapes.SIGMOID)
_GAUSSIAN = tl.constexpr(shapes.GAUSSIAN)
_RECTANGLE = tl.constexpr(shapes.RECTANGLE)


def constants(kept: Tensor, theta: Tensor, surrogate: Surrogate) -> Tensor:
    """Float32 `[4, neurons]`: kept of u, kept of v, theta, 1 / (width * theta).

    Args:
        kept: float64 `[2, neurons]`, the fractions that a step keeps.
        theta: float64 `[neurons]`, vThMant << 6; the width is a fraction of it, at least of 64.
        surrogate: whose width it is.
    """
    slope = 1.0 / (surrogate.width * theta.clamp_min(float(1 << STATE_SHIFT)))
    return torch.cat([kept, theta[None], slope[None]]).to(torch.float32).contiguous()


def adjoint(
    constants: Tensor,
    surrogate: Surrogate,
    voltage: Tensor,
    spike_gradient: Tensor,
    carried: Tensor,
    want_sums: bool = True,
) -> tuple[Tensor | None, Tensor]:
    """Go back through the steps of `voltage`, the last one first.

    Args:
        constants: see above.
        surrogate: its shape is used here.
        voltage: int32 `[batch, time, neurons]`, v before the reset; exact in float32.
        spike_gradient: float32 `[batch, time, neurons]`.
        carried: float32 `[2, batch, neurons]`, what comes to u and to v from the step after;
            replaced by what goes to the step before.
        want_sums: return the gradient of the sums.

    Returns:
        float32 `[batch, time, neurons]`, of the weighted sums a (None unless wanted), and
        `[batch, neurons]`, of bias_mant or drive, which is held over time.
    """
    batch, steps, width = voltage.shape
    level = voltage.new_empty((batch, width), dtype=torch.float32)
    sums = voltage.new_empty(voltage.shape, dtype=torch.float32) if want_sums else None
    launch(
        _adjoint,
        batch * width,
        spike_gradient.contiguous(),
        voltage.contiguous(),
        level if sums is None else sums,  # not touched unless wanted
        level,
        carried,
        constants,
        batch * width,
        width,
        steps,
        SHAPE=shapes.KERNELS[surrogate.shape],
        WANT_SUMS=want_sums,
    )
    return sums, level


@jitted
def _adjoint(
    spike_gradient: tl.tensor,
    voltage: tl.tensor,
    sums: tl.tensor,
    level: tl.tensor,
    carried: tl.tensor,
    constants: tl.tensor,
    entries: tl.tensor,
    width: tl.tensor,
    steps: tl.tensor,
    SHAPE: tl.constexpr,
    WANT_SUMS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Entries are neurons of all samples in a row: a block may span samples."""
    entry = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = entry < entries
    sample, neuron = entry // width, entry % width
    kept_u = tl.load(constants + neuron, mask=mask, other=0.0)
    kept_v = tl.load(constants + width + neuron, mask=mask, other=0.0)
    theta = tl.load(constants + 2 * width + neuron, mask=mask, other=0.0)
    slope = tl.load(constants + 3 * width + neuron, mask=mask, other=0.0)
    along_u = tl.load(carried + entry, mask=mask, other=0.0)
    along_v = tl.load(carried + entries + entry, mask=mask, other=0.0)
    total = tl.full((BLOCK,), 0.0, tl.float32)
    first = sample * steps * width + neuron
    at = first + (steps - 1) * width
    v = tl.load(voltage + at, mask=mask, other=0).to(tl.float32)
    gradient = tl.load(spike_gradient + at, mask=mask, other=0.0)
    for _ in range(steps):
        earlier = tl.maximum(at - width, first)  # asked for now, needed in the next round
        next_v = tl.load(voltage + earlier, mask=mask, other=0).to(tl.float32)
        next_gradient = tl.load(spike_gradient + earlier, mask=mask, other=0.0)
        x = tl.abs((v - theta) * slope)
        if SHAPE == _FAST_SIGMOID:
            bell = slope / ((1.0 + x) * (1.0 + x))
        elif SHAPE == _TRIANGLE:
            bell = tl.maximum(1.0 - x, 0.0) * slope
        elif SHAPE == _ATAN:
            bell = slope / (1.0 + (_HALF_PI * x) * (_HALF_PI * x))
        elif SHAPE == _STRAIGHT_THROUGH:
            bell = slope
        elif SHAPE == _SIGMOID:
            tail = tl.exp(-4.0 * x)
            bell = slope * 4.0 * tail / ((1.0 + tail) * (1.0 + tail))
        elif SHAPE == _GAUSSIAN:
            bell = slope * tl.exp(x * x * _MINUS_PI)
        elif SHAPE == _RECTANGLE:
            bell = tl.where(x < 0.5, slope, 0.0)
        else:
            tl.static_assert(False, "no kernel for this shape")
        to_v = gradient * bell + along_v
        to_u = to_v + along_u
        total += to_v
        if WANT_SUMS:
            tl.store(sums + at, to_u * _UNIT, mask=mask)
        along_v = kept_v * to_v
        along_u = kept_u * to_u
        at, v, gradient = earlier, next_v, next_gradient
    tl.store(level + entry, total * _UNIT, mask=mask)
    tl.store(carried + entry, along_u, mask=mask)
    tl.store(carried + entries + entry, along_v, mask=mask)
