"""LIF neurons over time on a GPU: a program carries a block of neurons through all steps.

u and v stay in registers; a step reads one int32 sum and writes one int8 spike. All arithmetic is
int32, and equal to `fixedpoint.lif_step` for every u and v that can occur:

- After its wrap |u| ≤ 2^31 - 2^24: Lava's int32 sum is at least -2^31, and what is at or below
  -2^23 gains 2^24; the same above. So |u| has no overflow of its own, and neither has
  decay(v) + u + bias, where |v| < 2^23 and |bias| < 2^22.
- decay(u) + (a << 6) wraps as Lava's int32 does, because int32 is what it is computed in. It needs
  a only modulo 2^26.
- |x| * kept >> 12 does not fit int32, but with |x| = 4096 hi + lo it is hi * kept + (lo * kept >>
  12), where hi * kept ≤ |x| and lo * kept < 2^24.
- A threshold beyond ±2^23 is never reached, or always: v is clipped to ±(2^23 - 1). So it may be
  cut to ±2^23.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton.language as tl
from torch import Tensor

from neurorobust.backends.engine.gpu.kernels import jitted, launch
from neurorobust.fixedpoint import DECAY_BITS, DECAY_UNITY, STATE_LIMIT, STATE_SHIFT

_BITS, _LOW = tl.constexpr(DECAY_BITS), tl.constexpr(DECAY_UNITY - 1)
_LIMIT, _RANGE = tl.constexpr(STATE_LIMIT), tl.constexpr(2 * STATE_LIMIT)
_CLIP, _LIFT = tl.constexpr(STATE_LIMIT - 1), tl.constexpr(STATE_SHIFT)


@dataclass(frozen=True, eq=False)
class Cells:
    """A layer's neurons on the device.

    Attributes:
        parameters: int32 `[4, neurons]`: what a step keeps of u and of v (4096 - decay), the
            threshold and the bias, both << 6 already.
    """

    parameters: Tensor

    @property
    def width(self) -> int:
        """Neurons."""
        return self.parameters.shape[1]


@dataclass(frozen=True, eq=False)
class Sums:
    """Weighted sums `[batch, time, at least neurons]` int32; a = (sum >> right) << left."""

    values: Tensor
    left: int = 0
    right: int = 0


@dataclass(frozen=True)
class Keep:
    """Whether u, and v before the reset, are wanted at every step."""

    current: bool = False
    voltage: bool = False


@dataclass(frozen=True, eq=False)
class Steps:
    """What a layer did.

    Attributes:
        spikes: int8 `[batch, time, neurons]`.
        state: int32 `[2, batch, neurons]`, u and v after the last step.
        current: int32 `[batch, time, neurons]`, u; None unless asked for.
        voltage: the same of v, before the reset.
    """

    spikes: Tensor
    state: Tensor
    current: Tensor | None
    voltage: Tensor | None


def integrate(
    cells: Cells,
    sums: Sums | None,
    batch: int,
    steps: int,
    keep: Keep,
    drive: Tensor | None = None,
    before: Tensor | None = None,
) -> Steps:
    """Run neurons through all steps, from zero state or from the one before.

    Args:
        cells: the neurons.
        sums: what their synapses deliver; None for an input layer.
        batch: samples.
        steps: time steps.
        keep: what to return beside the spikes.
        drive: int32 `[batch, neurons]`, bias << 6 in place of the cells' own.
        before: int32 `[2, batch, neurons]`, u and v before the first step.
    """
    shape = (batch, steps, cells.width)
    new = cells.parameters.new_empty
    spikes = new(shape, dtype=torch.int8)
    state = new((2, batch, cells.width))
    none = cells.parameters  # stands for a tensor that its constant says is not touched
    current, voltage = (new(shape) if wanted else None for wanted in (keep.current, keep.voltage))
    launch(
        _integrate,
        batch * cells.width,
        none if sums is None else sums.values.contiguous(),
        cells.parameters,
        none if drive is None else drive.contiguous(),
        none if before is None else before.contiguous(),
        spikes,
        state,
        none if current is None else current,
        none if voltage is None else voltage,
        batch * cells.width,
        cells.width,
        steps,
        0 if sums is None else sums.values.shape[2],
        LEFT=0 if sums is None else sums.left,
        RIGHT=0 if sums is None else sums.right,
        SUMMED=sums is not None,
        DRIVEN=drive is not None,
        CARRIED=before is not None,
        KEEP_CURRENT=keep.current,
        KEEP_VOLTAGE=keep.voltage,
    )
    return Steps(spikes, state, current, voltage)


@jitted
def _decay(x: tl.tensor, kept: tl.tensor) -> tl.tensor:
    """`fixedpoint.decay` for |x| < 2^31."""
    size = tl.abs(x)
    size = (size >> _BITS) * kept + (((size & _LOW) * kept) >> _BITS)
    return tl.where(x < 0, -size, size)


@jitted
def _integrate(
    sums: tl.tensor,
    parameters: tl.tensor,
    drive: tl.tensor,
    before: tl.tensor,
    spikes: tl.tensor,
    state: tl.tensor,
    current: tl.tensor,
    voltage: tl.tensor,
    entries: tl.tensor,
    width: tl.tensor,
    steps: tl.tensor,
    row: tl.tensor,
    LEFT: tl.constexpr,
    RIGHT: tl.constexpr,
    SUMMED: tl.constexpr,
    DRIVEN: tl.constexpr,
    CARRIED: tl.constexpr,
    KEEP_CURRENT: tl.constexpr,
    KEEP_VOLTAGE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Entries are neurons of all samples in a row: a block may span samples."""
    entry = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = entry < entries
    sample, neuron = entry // width, entry % width
    kept_u = tl.load(parameters + neuron, mask=mask, other=0)
    kept_v = tl.load(parameters + width + neuron, mask=mask, other=0)
    theta = tl.load(parameters + 2 * width + neuron, mask=mask, other=0)
    if DRIVEN:
        bias = tl.load(drive + entry, mask=mask, other=0)
    else:
        bias = tl.load(parameters + 3 * width + neuron, mask=mask, other=0)
    if CARRIED:
        u = tl.load(before + entry, mask=mask, other=0)
        v = tl.load(before + entries + entry, mask=mask, other=0)
    else:
        u = tl.full((BLOCK,), 0, tl.int32)
        v = tl.full((BLOCK,), 0, tl.int32)
    at = sample * steps * width + neuron
    source = sums + sample * steps * row + neuron
    a = tl.full((BLOCK,), 0, tl.int32)
    if SUMMED:
        a = tl.load(source, mask=mask, other=0)
    for step in range(steps):
        following = a
        if SUMMED:  # asked for now, needed in the next step
            ahead = tl.minimum(step + 1, steps - 1)
            following = tl.load(source + ahead.to(tl.int64) * row, mask=mask, other=0)
            u = tl.add(_decay(u, kept_u), (a >> RIGHT) << (LEFT + _LIFT), sanitize_overflow=False)
            u -= tl.where(u > _LIMIT, _RANGE, tl.where(u <= -_LIMIT, -_RANGE, 0))
        v = _decay(v, kept_v) + u + bias
        v = tl.minimum(tl.maximum(v, -_CLIP), _CLIP)
        if KEEP_CURRENT:
            tl.store(current + at, u, mask=mask)
        if KEEP_VOLTAGE:
            tl.store(voltage + at, v, mask=mask)
        spike = v > theta
        tl.store(spikes + at, spike.to(tl.int8), mask=mask)
        v = tl.where(spike, 0, v)
        at += width
        a = following
    tl.store(state + entry, u, mask=mask)
    tl.store(state + entries + entry, v, mask=mask)
