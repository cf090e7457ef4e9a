"""Event-driven dense layers: weights of inputs that spiked are gathered, and integrated at once.

Sums are taken in int16 and never overflow: at most `RUN` rows of int8 weights, or `WIDE_RUN` of
int16 weights, are added before int16 gives way to float32; RUN * 127 < 2^15, WIDE_RUN * 256 < 2^15.
Where no four weights of an output add up to more than 127, four rows are first added in int8.

The list of active inputs is read off a bit mask, and rows are added by `row_adder`: vector code,
which numba cannot be brought to find by itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from neurorobust.backends.engine.event_weights import COLUMNS, FEW, QUAD
from neurorobust.backends.engine.intrinsics import uncounted
from neurorobust.backends.engine.lif_cpu import (
    KEEP_CURRENT,
    KEEP_VOLTAGE,
    LayerBuffers,
    cells_of,
    row_step,
    what_to_do,
)
from neurorobust.backends.engine.loops import Array, compiled
from neurorobust.backends.engine.prefetch import prefetch
from neurorobust.backends.engine.row_adder import row_adder

LANES = 64  # of a mask
TIMES = 64  # steps that are summed together
RUN, WIDE_RUN = 252, 124  # rows summed in int16; multiples of 4


def fire(buffers: LayerBuffers, signal: Array, first: int, last: int) -> None:
    """Run samples `first` to `last` of uint8 `[batch, time, inputs]` through the layer."""
    layer = buffers.layer
    assert layer.arithmetic is not None
    weights, (_, steps, inputs) = layer.arithmetic.event, signal.shape
    rows, columns = min(steps, TIMES), weights.blocks.shape[2]
    active, counts = np.empty((rows, inputs + 1), dtype=np.uint32), np.empty(rows, dtype=np.int64)
    totals, sums = np.empty(columns, dtype=np.int16), np.zeros(columns, dtype=np.float32)
    _fire(
        signal, weights.blocks, weights.quads, weights.factor, layer.scale, buffers.spikes,
        buffers.state, buffers.voltage, buffers.current, buffers.constants[3:], buffers.constants,
        active, counts, totals, sums, buffers.marks, first, last,
    )  # fmt: skip


_add_row, _add_quads = row_adder(1, COLUMNS), row_adder(QUAD, COLUMNS)
_add_few, _add_few_quads = row_adder(1, FEW), row_adder(QUAD, FEW)


def _mask_bytes(_: Any, row: Any, start: Any) -> Any:
    """Bit i: whether byte `start` + i of the row is not zero, for 64 bytes."""

    def generate(context: Any, build: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, build, arguments[0]).data
        vector = ir.VectorType(ir.IntType(8), LANES)
        spot = build.bitcast(build.gep(data, [arguments[1]]), vector.as_pointer())
        loaded = build.load(spot, align=1)
        return build.bitcast(build.icmp_unsigned("!=", loaded, vector(None)), ir.IntType(64))

    return types.uint64(row, types.int64), generate


def _lowest_bit(_: Any, mask: Any) -> Any:
    """The number of the lowest bit that is set."""

    def generate(context: Any, build: Any, signature: Any, arguments: Any) -> Any:
        return build.cttz(arguments[0], ir.IntType(1)(1))

    return types.uint64(types.uint64), generate


_mask: Any = intrinsic(_mask_bytes)
_lowest: Any = intrinsic(_lowest_bit)


@compiled
def list_ones(row: Array, active: Array) -> int:
    """Write down which entries are not zero, and return how many."""
    count, start, one = 0, 0, np.uint64(1)
    while start + LANES <= row.size:
        mask = _mask(row, start)
        while mask:
            active[count] = np.uint64(start) + _lowest(mask)
            count += 1
            mask &= mask - one
        start += LANES
    for i in range(start, row.size):
        active[count] = i
        count += row[i]
    return count


@compiled
def _gather(
    weights: Array, quads: bool, active: Array, count: int, totals: Array, sums: Array, factor: Any
) -> None:
    """The sum of the listed rows times the factor, in float32."""
    run, few = RUN if weights.itemsize == 1 else WIDE_RUN, len(totals) == FEW
    for first in range(0, max(count, 1), run):
        next_, last = first, min(first + run, count)
        totals[:] = 0
        if few:
            if quads:
                next_ = _add_few_quads(weights, active, next_, last, totals)
            _add_few(weights, active, next_, last, totals)
        else:
            if quads:
                next_ = _add_quads(weights, active, next_, last, totals)
            _add_row(weights, active, next_, last, totals)
        before = np.float32(0 if first == 0 else 1)
        for n in range(len(totals)):
            sums[n] = before * sums[n] + np.float32(totals[n]) * np.float32(factor)


@compiled
def gather_row(
    row: Array, blocks: Array, quads: bool, factor: Any, active: Array, totals: Array, sums: Array
) -> None:
    """All sums of one step of one sample, float32 `[blocks * columns]`.

    `active` uint32 `[inputs + 1]` and `totals` int16 `[columns]` are scribbled on.
    """
    count, columns = list_ones(row, active), len(totals)
    for block in range(len(blocks)):
        here = sums[block * columns : (block + 1) * columns]
        _gather(blocks[block], quads, active, count, totals, here, factor)


@compiled
def _fire(
    signal: Array, blocks: Array, quads: bool, factor: Any, scale: Any, spikes: Array,
    state: Array, voltage: Array, current: Array, bias: Array, constants: Array,
    active: Array, counts: Array, totals: Array, sums: Array, keep: int, first: int, last: int,
) -> None:  # fmt: skip
    signal, blocks, spikes, state = (
        uncounted(signal),
        uncounted(blocks),
        uncounted(spikes),
        uncounted(state),
    )
    voltage, current, bias, constants = (
        uncounted(voltage),
        uncounted(current),
        uncounted(bias),
        uncounted(constants),
    )
    active, counts, totals, sums = (
        uncounted(active),
        uncounted(counts),
        uncounted(totals),
        uncounted(sums),
    )
    steps = signal.shape[1]
    width, columns = spikes.shape[2], blocks.shape[2]
    how = what_to_do(keep, constants)
    keep_v, keep_u = keep & KEEP_VOLTAGE > 0, keep & KEEP_CURRENT > 0
    for b in range(first, last):
        for start in range(0, steps, TIMES):
            rows = min(TIMES, steps - start)
            for t in range(rows):
                counts[t] = list_ones(signal[b, start + t], active[t])
            for block in range(len(blocks)):
                some = slice(block * columns, min((block + 1) * columns, width))
                cells = cells_of(state, constants, bias, b, some)
                high, now = voltage[0, 0][some], current[0, 0][some]
                row = sums[: some.stop - some.start]
                for t in range(start, start + rows):
                    if keep_v:
                        high = voltage[b, t][some]
                        if b + 1 < last:
                            prefetch(voltage[b + 1, t][some])
                    if keep_u:
                        now = current[b, t][some]
                    listed = active[t - start]
                    _gather(blocks[block], quads, listed, counts[t - start], totals, sums, factor)
                    row_step(row, scale, spikes[b, t][some], cells, high, now, how)
