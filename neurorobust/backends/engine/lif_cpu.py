"""LIF neurons over time in compiled loops.

The kernels keep u and v in a floating type in which every rule of `fixedpoint` is exact. With
k = 4096 - decay and x = 4096 h + l, h = trunc(x / 4096), the decayed state is
h k + trunc(l k / 4096): h k is no larger than x, and l k < 2^24.

- float32, where 64 |a| <= 2^23: then |u| <= 2^23 always, u + 64 a and v + u stay within 2^24, and
  a v + u + bias beyond 2^24, which float32 may round, is clipped anyway.
- float64, while |u| stays below 2^31.
- int64 with Lava's int32 wraps where it may not (`LayerPlan.leaves_int32`).

A threshold beyond ±2^24 is cut there, because |v| < 2^23.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from neurorobust.backends.engine import bfloat16
from neurorobust.backends.engine.intrinsics import uncounted
from neurorobust.backends.engine.layer import BLOCK, LayerPlan
from neurorobust.backends.engine.lif_vector import WIDTH, vector_step
from neurorobust.backends.engine.loops import Array, compiled
from neurorobust.fixedpoint import DECAY_BITS, STATE_LIMIT, STATE_SHIFT

KEEP_VOLTAGE, KEEP_CURRENT = 1, 2
KEEP_DISTANCE = 5  # v - theta in bfloat16 in the place of v: half the memory
KEPT, NO_WRAP_MARK = 7, 8  # bits of `marks`: everything is kept; u cannot wrap, see `vector_step`
RECORDED, FORGETS, NO_WRAP = 1, 2, 4  # what is to be done; forgets: nothing is kept of u

Cells: TypeAlias = tuple[Array, Array, Array, Array, Array, Array]

_INT32 = 1 << 31


_plain = vector_step(remembers=True, recorded=False, never_wraps=False)
_forgetting = vector_step(remembers=False, recorded=False, never_wraps=False)
_recorded = vector_step(remembers=True, recorded=True, never_wraps=False)
_no_wrap = vector_step(remembers=True, recorded=False, never_wraps=True)
_no_wrap_forgetting = vector_step(remembers=False, recorded=False, never_wraps=True)
_no_wrap_recorded = vector_step(remembers=True, recorded=True, never_wraps=True)
_rest = vector_step(remembers=True, recorded=True, never_wraps=False, rest=True)


@dataclass(frozen=True, eq=False)
class Steps:
    """What a layer did.

    Attributes:
        spikes: uint8 `[batch, time, neurons]`.
        state: `[2, batch, neurons]`, u and v after the last step, in the kernel's type.
        voltage: float32 `[batch, time, neurons]`, v before the reset; bfloat16: its distance from
            theta. None unless asked for.
        current: int32, u; None unless asked for.
    """

    spikes: Tensor
    state: Tensor
    voltage: Tensor | None
    current: Tensor | None

    @property
    def membrane(self) -> Tensor:
        """V after the last step, float32 `[batch, neurons]`."""
        return self.state[1].to(torch.float32)


class LayerBuffers:
    """Buffers of one layer and batch: its spikes of all steps, its state, and what is recorded.

    Args:
        layer: the layer.
        batch: samples.
        steps: time steps.
        keep: `KEEP_VOLTAGE` or `KEEP_DISTANCE`, + `KEEP_CURRENT`, or 0. What is not kept is
            written to one row, again and again.
    """

    def __init__(self, layer: LayerPlan, batch: int, steps: int, keep: int) -> None:
        shape, scribble = (batch, steps, layer.neurons), (1, 1, layer.neurons)
        dtype = layer.state_dtype(steps)
        self.layer, self.keep = layer, keep
        self.constants = layer.constants(dtype)
        self.spikes = np.empty(shape, dtype=np.uint8)
        self.state = np.zeros((2, batch, layer.neurons), dtype=dtype)
        self.before = None if layer.feedback is None else self.state[0].astype(np.uint8)
        kind = np.int16 if keep & KEEP_DISTANCE == KEEP_DISTANCE else np.float32
        self.voltage = np.empty(shape if keep & KEEP_VOLTAGE else scribble, dtype=kind)
        self.current = np.empty(shape if keep & KEEP_CURRENT else scribble, dtype=np.int32)

    def resume_from(self, state: Array, spikes: Array) -> None:
        """From this state `[2, batch, neurons]`, overwritten, and the last step's spikes."""
        self.state, self.constants = state, self.layer.constants(state.dtype)
        self.before = spikes

    def integrate(
        self,
        sums: Array,
        sample: int,
        step: int,
        count: int,
        bias: Array | None = None,
        left: int = 0,
    ) -> None:
        """Take neurons through some steps, on from the state they are in.

        Args:
            sums: `[count or 1, time, neurons]` weighted sums before the shift; one for all samples,
                or one each.
            sample: the first sample.
            step: the first step.
            count: samples.
            bias: `[batch, neurons]`, already << 6, in place of the layer's own (drive).
            left: the first neuron.
        """
        kernel: Any = _integrate_wrapping if self.state.dtype == np.int64 else _integrate
        kernel(
            sums, self.layer.scale, self.spikes, self.state, self.voltage, self.current,
            self.constants[3:] if bias is None else bias, self.constants, sample, step, count,
            self.marks, left,
        )  # fmt: skip

    @property
    def marks(self) -> int:
        """What the kernels are told of what to keep, and of the layer."""
        return self.keep + (NO_WRAP_MARK if self.layer.never_wraps else 0)

    def steps(self) -> Steps:
        """What was written."""
        voltage = torch.from_numpy(self.voltage) if self.keep & KEEP_VOLTAGE else None
        if voltage is not None and voltage.dtype == torch.int16:
            voltage = voltage.view(torch.bfloat16)
        return Steps(
            torch.from_numpy(self.spikes),
            torch.from_numpy(self.state),
            voltage,
            torch.from_numpy(self.current) if self.keep & KEEP_CURRENT else None,
        )


@compiled
def row_step(
    row: Array, scale: Any, fired: Array, cells: Cells, high: Array, now: Array, how: int
) -> None:
    """One step of a block of neurons.

    Args:
        row: their weighted sums.
        scale: 2^-shift of the sums.
        fired: where spikes go.
        cells: their state and constants, from `cells_of`.
        high: where v before the reset goes.
        now: where u goes.
        how: `RECORDED` or `FORGETS` or none of them, + `NO_WRAP` where the layer is.
    """
    u, v, kept_u, kept_v, theta, bias = cells
    start = 0
    if how == RECORDED + NO_WRAP:
        while start + WIDTH <= row.size:
            _no_wrap_recorded(
                row, scale, fired, u, v, kept_u, kept_v, theta, bias, high, now, start
            )
            start += WIDTH
    elif how == FORGETS + NO_WRAP:
        while start + WIDTH <= row.size:
            _no_wrap_forgetting(
                row, scale, fired, u, v, kept_u, kept_v, theta, bias, high, now, start
            )
            start += WIDTH
    elif how == NO_WRAP:
        while start + WIDTH <= row.size:
            _no_wrap(row, scale, fired, u, v, kept_u, kept_v, theta, bias, high, now, start)
            start += WIDTH
    elif how == RECORDED:
        while start + WIDTH <= row.size:
            _recorded(row, scale, fired, u, v, kept_u, kept_v, theta, bias, high, now, start)
            start += WIDTH
    elif how == FORGETS:
        while start + WIDTH <= row.size:
            _forgetting(row, scale, fired, u, v, kept_u, kept_v, theta, bias, high, now, start)
            start += WIDTH
    else:
        while start + WIDTH <= row.size:
            _plain(row, scale, fired, u, v, kept_u, kept_v, theta, bias, high, now, start)
            start += WIDTH
    if start < row.size:
        _rest(row, scale, fired, u, v, kept_u, kept_v, theta, bias, high, now, start)


@compiled
def what_to_do(marks: int, constants: Array) -> int:
    """The `how` of `row_step`, from the marks of `LayerBuffers`."""
    how = RECORDED if marks & KEPT else (0 if np.any(constants[0]) else FORGETS)
    return how + (NO_WRAP if marks & NO_WRAP_MARK else 0)


@compiled
def cells_of(state: Array, constants: Array, bias: Array, sample: int, some: slice) -> Cells:
    """u, v, and the constants of one sample's neurons `some`.

    Rows of `constants`: what is kept of u and of v (times 4096), theta, bias, of all neurons or of
    one block; `bias` has one row for all samples or one each.
    """
    near = slice(0, some.stop - some.start) if constants.shape[1] < state.shape[2] else some
    own = bias[sample if len(bias) > 1 else 0]
    own = own[some if len(own) == state.shape[2] else near]
    kept_u, kept_v, theta = constants[0][near], constants[1][near], constants[2][near]
    return state[0, sample][some], state[1, sample][some], kept_u, kept_v, theta, own


@compiled
def _integrate(
    sums: Array, scale: Any, spikes: Array, state: Array, voltage: Array, current: Array,
    bias: Array, constants: Array, sample: int, step: int, count: int, keep: int, left: int,
) -> None:  # fmt: skip
    sums, spikes, state, constants = (
        uncounted(sums),
        uncounted(spikes),
        uncounted(state),
        uncounted(constants),
    )
    voltage, current, bias = uncounted(voltage), uncounted(current), uncounted(bias)
    single, (_, steps, width) = len(sums) == 1, sums.shape
    shared = constants.shape[1] < state.shape[2]  # one block's constants are every block's
    block = constants.shape[1] if shared else BLOCK
    how = what_to_do(keep, constants)
    keep_v, keep_u = keep & KEEP_VOLTAGE > 0, keep & KEEP_CURRENT > 0
    for b in range(sample, sample + count):
        mine = sums[0 if single else b - sample]
        for near in range(0, width, block):
            far = min(near + block, width)
            some = slice(left + near, left + far)
            cells = cells_of(state, constants, bias, b, some)
            high, now = voltage[0, 0][some], current[0, 0][some]
            for t in range(step, step + steps):
                if keep_v:
                    high = voltage[b, t][some]
                if keep_u:
                    now = current[b, t][some]
                row, fired = mine[t - step][near:far], spikes[b, t][some]
                row_step(row, scale, fired, cells, high, now, how)


@compiled
def _integrate_wrapping(
    sums: Array, scale: Any, spikes: Array, state: Array, voltage: Array, current: Array,
    bias: Array, constants: Array, sample: int, step: int, count: int, keep: int, left: int,
) -> None:  # fmt: skip
    """The same in int64, with Lava's int32 wrap of both sums; rarely needed."""
    (_, steps, width), period = sums.shape, constants.shape[1]
    for i in range(count):
        b, row = sample + i, sample + i if len(bias) > 1 else 0
        for t in range(steps):
            for n in range(left, left + width):
                total = np.floor(np.float64(sums[i if len(sums) > 1 else 0, t, n - left]) * scale)
                lifted: Any = np.int64(total) << STATE_SHIFT
                u = _wrap_int32(_decay(state[0, b, n], constants[0, n % period]) + lifted)
                if u > STATE_LIMIT:
                    u -= 2 * STATE_LIMIT
                elif u <= -STATE_LIMIT:
                    u += 2 * STATE_LIMIT
                v = _wrap_int32(
                    _decay(state[1, b, n], constants[1, n % period])
                    + u
                    + bias[row, n % bias.shape[1]]
                )
                v = min(max(v, 1 - STATE_LIMIT), STATE_LIMIT - 1)
                if keep & KEEP_VOLTAGE:
                    voltage[b, step + t, n] = bfloat16.noted(
                        np.float64(v), np.float64(constants[2, n % period]), voltage
                    )
                if keep & KEEP_CURRENT:
                    current[b, step + t, n] = u
                spike = v > constants[2, n % period]
                spikes[b, step + t, n] = spike
                state[0, b, n] = u
                state[1, b, n] = 0 if spike else v


@compiled
def _decay(state: int, kept: int) -> int:
    size = (abs(state) * kept) >> DECAY_BITS
    return size if state >= 0 else -size


@compiled
def _wrap_int32(value: int) -> int:
    return ((value + _INT32) & (2 * _INT32 - 1)) - _INT32
