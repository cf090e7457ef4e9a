"""Event-driven dense layers: weights of inputs that spiked are gathered, and integrated at once.

Sums are taken in int16 and never overflow: at most `RUN` rows of int8 weights, or `WIDE_RUN` of
int16 weights, are added before int16 gives way to float32; RUN * 127 < 2^15, WIDE_RUN * 256 < 2^15.
Where no four weights of an output add up to more than 127, four rows are first added in int8.

The two inner operations are written as vector code, which numba cannot be brought to find by
itself: the accumulators of `COLUMNS` outputs stay in registers, and the list of active inputs is
read off a bit mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from neurorobust.backends.engine.lif_cpu import (
    FORGETS,
    KEEP_CURRENT,
    KEEP_VOLTAGE,
    RECORDED,
    Sheet,
    cells_of,
    row_step,
)
from neurorobust.backends.engine.loops import Array, compiled
from neurorobust.fixedpoint import IntArray

COLUMNS, FEW = 256, 64  # outputs that are summed together; FEW where there are no more
LANES = 64  # of one vector
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
    largest = np.abs(stored).max()
    narrow = bool(largest <= NARROW)
    outputs, inputs = stored.shape
    columns = block_columns(outputs)
    count = -(-outputs // columns)
    padded = np.zeros((count * columns, inputs), dtype=np.int8 if narrow else np.int16)
    padded[:outputs] = stored
    blocks = _aligned((count, inputs, columns), padded.dtype)
    blocks[:] = padded.reshape(count, columns, inputs).transpose(0, 2, 1)
    heaviest = np.sort(np.abs(stored), axis=1)[:, -QUAD:].sum(axis=1).max()
    return EventWeights(blocks, 2.0 if halved else 1.0, bool(narrow and heaviest <= NARROW))


def fire(sheet: Sheet, signal: Array, first: int, last: int) -> None:
    """Run samples `first` to `last` of uint8 `[batch, time, inputs]` through the layer."""
    layer = sheet.layer
    assert layer.arithmetic is not None
    weights = layer.arithmetic.event
    _fire(
        signal, weights.blocks, weights.quads, weights.factor, layer.scale, sheet.spikes,
        sheet.state, sheet.voltage, sheet.current, sheet.constants[3:], sheet.constants,
        sheet.keep, first, last,
    )  # fmt: skip


def _aligned(shape: tuple[int, ...], dtype: Any) -> Array:
    """An empty array that starts on a cache line: vectors do not straddle two."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.empty(size + 64, dtype=np.uint8)
    start = -room.ctypes.data % 64
    aligned: Array = room[start : start + size].view(dtype).reshape(shape)
    return aligned


def _row_adder(rows: int, columns: int) -> Any:
    """An intrinsic that adds `rows` rows of weights at a time to int16 totals.

    `add(weights [inputs, columns], active, first, last, totals) -> next`, from entry `first` of the
    list on, as long as `rows` entries are left before `last`.
    """

    @intrinsic
    def add(_: Any, weights: Any, active: Any, first: Any, last: Any, totals: Any) -> Any:
        def generate(context: Any, build: Any, signature: Any, arguments: Any) -> Any:
            tables, listed, summed = (
                context.make_array(signature.args[i])(context, build, arguments[i])
                for i in (0, 1, 4)
            )
            bits = weights.dtype.bitwidth
            narrow = ir.VectorType(ir.IntType(bits), LANES)
            wide = ir.VectorType(ir.IntType(16), LANES)
            number, byte = ir.IntType(64), ir.IntType(8).as_pointer()
            base = build.bitcast(tables.data, byte)
            spots = [
                build.bitcast(build.gep(summed.data, [number(start)]), wide.as_pointer())
                for start in range(0, columns, LANES)
            ]
            before = [build.load(spot, align=2) for spot in spots]
            entry, loop, done = (
                build.block, build.append_basic_block("rows"), build.append_basic_block("done"),
            )  # fmt: skip

            def branch(position: Any) -> None:
                left = build.icmp_signed("<=", build.add(position, number(rows)), arguments[3])
                build.cbranch(left, loop, done)

            branch(arguments[2])
            build.position_at_end(loop)
            position = build.phi(number)
            running = [build.phi(wide) for _ in spots]
            starts = []
            for i in range(rows):
                spot = build.gep(listed.data, [build.add(position, number(i))])
                index = build.zext(build.load(spot), number)
                starts.append(build.gep(base, [build.mul(index, number(columns * bits // 8))]))
            after = []
            for i, total in enumerate(running):
                offset = number(i * LANES * bits // 8)
                parts = [
                    build.load(
                        build.bitcast(build.gep(start, [offset]), narrow.as_pointer()), align=1
                    )
                    for start in starts
                ]
                while len(parts) > 1:
                    parts = [build.add(*parts[j : j + 2]) for j in range(0, len(parts), 2)]
                part = parts[0] if bits == 16 else build.sext(parts[0], wide)
                after.append(build.add(total, part))
            following = build.add(position, number(rows))
            position.add_incoming(arguments[2], entry)
            position.add_incoming(following, loop)
            for phi, old, new in zip(running, before, after, strict=True):
                phi.add_incoming(old, entry)
                phi.add_incoming(new, loop)
            branch(following)
            build.position_at_end(done)
            reached = build.phi(number)
            reached.add_incoming(arguments[2], entry)
            reached.add_incoming(following, loop)
            results = [build.phi(wide) for _ in spots]
            for phi, old, new in zip(results, before, after, strict=True):
                phi.add_incoming(old, entry)
                phi.add_incoming(new, loop)
            for phi, spot in zip(results, spots, strict=True):
                build.store(phi, spot, align=2)
            return reached

        return types.int64(weights, active, types.int64, types.int64, totals), generate

    return add


_add_row, _add_quads = _row_adder(1, COLUMNS), _row_adder(QUAD, COLUMNS)
_add_few, _add_few_quads = _row_adder(1, FEW), _row_adder(QUAD, FEW)


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
def _list(row: Array, active: Array) -> int:
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
    count, columns = _list(row, active), len(totals)
    for block in range(len(blocks)):
        here = sums[block * columns : (block + 1) * columns]
        _gather(blocks[block], quads, active, count, totals, here, factor)


@compiled
def _fire(
    signal: Array, blocks: Array, quads: bool, factor: Any, scale: Any, spikes: Array,
    state: Array, voltage: Array, current: Array, bias: Array, constants: Array,
    keep: int, first: int, last: int,
) -> None:  # fmt: skip
    _, steps, inputs = signal.shape
    width, columns = spikes.shape[2], blocks.shape[2]
    how = RECORDED if keep else (0 if np.any(constants[0]) else FORGETS)
    keep_v, keep_u = keep & KEEP_VOLTAGE > 0, keep & KEEP_CURRENT > 0
    rows = min(steps, TIMES)
    active, counts = np.empty((rows, inputs + 1), dtype=np.uint32), np.empty(rows, dtype=np.int64)
    totals, sums = np.empty(columns, dtype=np.int16), np.zeros(columns, dtype=np.float32)
    for b in range(first, last):
        for start in range(0, steps, TIMES):
            rows = min(TIMES, steps - start)
            for t in range(rows):
                counts[t] = _list(signal[b, start + t], active[t])
            for block in range(len(blocks)):
                some = slice(block * columns, min((block + 1) * columns, width))
                cells = cells_of(state, constants, bias, b, some)
                high, now = voltage[0, 0][some], current[0, 0][some]
                row = sums[: some.stop - some.start]
                for t in range(start, start + rows):
                    if keep_v:
                        high = voltage[b, t][some]
                    if keep_u:
                        now = current[b, t][some]
                    listed = active[t - start]
                    _gather(blocks[block], quads, listed, counts[t - start], totals, sums, factor)
                    row_step(row, scale, spikes[b, t][some], cells, high, now, how)
