"""Event-driven dense layers: weights of inputs that spiked are gathered, and integrated at once.

Sums are taken in int16 and never overflow: at most `RUN` rows of int8 weights, or `WIDE_RUN` of
int16 weights, are added before int16 gives way to float32; RUN * 127 < 2^15, WIDE_RUN * 256 < 2^15.
Where no four weights of an output add up to more than 127, four rows are first added in int8.

The list of active inputs is read off a bit mask, and rows are added by `row_adder`: vector code,
which numba cannot be brought to find by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from neurorobust.backends.engine.bare import bare
from neurorobust.backends.engine.layout import TILE, turn
from neurorobust.backends.engine.lif_cpu import (
    KEEP_CURRENT,
    KEEP_VOLTAGE,
    Sheet,
    cells_of,
    row_step,
    what_to_do,
)
from neurorobust.backends.engine.loops import Array, compiled
from neurorobust.backends.engine.prefetch import prefetch
from neurorobust.backends.engine.row_adder import aligned, row_adder
from neurorobust.fixedpoint import IntArray

COLUMNS, FEW = 256, 64  # outputs that are summed together; FEW where there are no more
LANES = 64  # of a mask
TIMES = 64  # steps that are summed together
RUN, WIDE_RUN = 252, 124  # rows summed in int16; multiples of 4
QUAD = 4  # rows that may be added in int8 first
NARROW, WIDE = 127, 256  # the largest |w| in int8 and in int16


@dataclass(frozen=True, eq=False)
class EventWeights:
    """Dense weights for the gather.

    Attributes:
        blocks: int8 or int16 `[blocks of outputs, inputs, COLUMNS or FEW]`, 64-byte aligned,
            zero-padded.
        factor: the weights are `blocks * factor`.
        quads: four rows may be added in int8.
    """

    blocks: Array
    factor: float
    quads: bool


def block_columns(outputs: int) -> int:
    """Outputs that are summed together."""
    return COLUMNS if outputs > FEW else FEW


def fits(weights: IntArray) -> bool:
    """Whether the sums stay in int16."""
    return int(np.abs(weights).max()) <= WIDE


def pack(weights: IntArray) -> EventWeights:
    """Pack `[outputs, inputs]` that fits. Even weights are halved where int8 holds them then."""
    halved = int(np.abs(weights).max()) > NARROW and not np.any(weights % 2)
    stored = weights // 2 if halved else weights
    return pack_as(stored.astype(np.int16), 2.0 if halved else 1.0)


def pack_as(stored: Array, factor: float) -> EventWeights:
    """Pack int8 or int16 `[outputs, inputs]` that are to be multiplied by a factor."""
    largest = max(int(stored.max()), -int(stored.min()))
    narrow = largest <= NARROW
    outputs, inputs = stored.shape
    columns = block_columns(outputs)
    blocks = aligned((-(-outputs // columns), inputs, columns), np.int8 if narrow else np.int16)
    _fill(blocks, stored)
    quads = QUAD * largest <= NARROW
    if narrow and not quads:
        quads = _heaviest_quad(stored) <= NARROW
    return EventWeights(blocks, factor, quads)


@compiled
def _heaviest_quad(stored: Array) -> int:
    """The largest sum of an output's `QUAD` heaviest |w|."""
    largest: Any = 0
    for n in range(len(stored)):
        top = np.zeros(QUAD, dtype=np.int16)  # the lightest first
        for k in range(stored.shape[1]):
            size = abs(np.int16(stored[n, k]))
            if size > top[0]:
                place = 0
                while place + 1 < QUAD and size > top[place + 1]:
                    top[place] = top[place + 1]
                    place += 1
                top[place] = size
        largest = max(largest, np.int64(top.sum()))
    return int(largest)


@compiled
def _fill(blocks: Array, stored: Array) -> None:
    """Outputs next to each other, tile by tile; zeros behind the last."""
    blocks, stored = bare(blocks), bare(stored)
    count, inputs, columns = blocks.shape
    tile, bytes_ = 64, stored.itemsize == 1 and blocks.itemsize == 1
    for block in range(count):
        if bytes_ and inputs >= TILE and (block + 1) * columns <= len(stored):
            rows = stored[block * columns : (block + 1) * columns]
            for n in range(0, columns, TILE):
                for k in range(0, inputs, TILE):
                    turn(rows, blocks[block], n, min(k, inputs - TILE))
            continue
        for near in range(0, inputs, tile):
            for n in range(columns):
                output = block * columns + n
                for k in range(near, min(near + tile, inputs)):
                    blocks[block, k, n] = stored[output, k] if output < len(stored) else 0


def fire(sheet: Sheet, signal: Array, first: int, last: int) -> None:
    """Run samples `first` to `last` of uint8 `[batch, time, inputs]` through the layer."""
    layer = sheet.layer
    assert layer.arithmetic is not None
    weights, (_, steps, inputs) = layer.arithmetic.event, signal.shape
    rows, columns = min(steps, TIMES), weights.blocks.shape[2]
    active, counts = np.empty((rows, inputs + 1), dtype=np.uint32), np.empty(rows, dtype=np.int64)
    totals, sums = np.empty(columns, dtype=np.int16), np.zeros(columns, dtype=np.float32)
    _fire(
        signal, weights.blocks, weights.quads, weights.factor, layer.scale, sheet.spikes,
        sheet.state, sheet.voltage, sheet.current, sheet.constants[3:], sheet.constants,
        active, counts, totals, sums, sheet.marks, first, last,
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
    signal, blocks, spikes, state = bare(signal), bare(blocks), bare(spikes), bare(state)
    voltage, current, bias, constants = bare(voltage), bare(current), bare(bias), bare(constants)
    active, counts, totals, sums = bare(active), bare(counts), bare(totals), bare(sums)
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
