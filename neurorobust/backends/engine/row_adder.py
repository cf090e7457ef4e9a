"""Adding up listed rows of a matrix as vector code: the totals stay in registers.

numba cannot be brought to find it by itself.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from neurorobust.backends.engine.loops import Array

LANES = {16: 64, 32: 16}  # of the totals' vectors, by their bits


def aligned(shape: tuple[int, ...], dtype: Any) -> Array:
    """An empty array that starts on a cache line: vectors do not straddle two."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    room = np.empty(size + 64, dtype=np.uint8)
    start = -room.ctypes.data % 64
    found: Array = room[start : start + size].view(dtype).reshape(shape)
    return found


def row_adder(rows: int, columns: int) -> Any:
    """An intrinsic that adds `rows` rows at a time to totals.

    `add(table [any, columns], listed, first, last, totals) -> next`, from entry `first` of the list
    on, as long as `rows` entries are left before `last`. An int8 or int16 table has int16 totals
    (int8 rows are added in int8 first), a float32 table float32 totals.
    """

    @intrinsic
    def add(_: Any, table: Any, listed: Any, first: Any, last: Any, totals: Any) -> Any:
        def generate(context: Any, build: Any, signature: Any, arguments: Any) -> Any:
            rows_of, list_of, sums_of = (
                context.make_array(signature.args[i])(context, build, arguments[i])
                for i in (0, 1, 4)
            )
            lanes = LANES[totals.dtype.bitwidth]
            floats = totals.dtype == types.float32
            plus = build.fadd if floats else build.add
            narrow = ir.VectorType(context.get_data_type(table.dtype), lanes)
            wide = ir.VectorType(context.get_data_type(totals.dtype), lanes)
            number, byte = ir.IntType(64), ir.IntType(8).as_pointer()
            size = table.dtype.bitwidth // 8
            base = build.bitcast(rows_of.data, byte)
            spots = [
                build.bitcast(build.gep(sums_of.data, [number(start)]), wide.as_pointer())
                for start in range(0, columns, lanes)
            ]
            # the loop carries the totals in registers, as phi nodes: loaded once before it, stored
            # once behind it
            before = [build.load(spot, align=1) for spot in spots]
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
                spot = build.gep(list_of.data, [build.add(position, number(i))])
                index = build.zext(build.load(spot), number)
                starts.append(build.gep(base, [build.mul(index, number(columns * size))]))
            after = []
            for i, total in enumerate(running):
                offset = number(i * lanes * size)
                parts = [
                    build.load(
                        build.bitcast(build.gep(start, [offset]), narrow.as_pointer()), align=1
                    )
                    for start in starts
                ]
                while len(parts) > 1:
                    parts = [plus(*parts[j : j + 2]) for j in range(0, len(parts), 2)]
                part = parts[0] if narrow == wide else build.sext(parts[0], wide)
                after.append(plus(total, part))
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
                build.store(phi, spot, align=1)
            return reached

        return types.int64(table, listed, types.int64, types.int64, totals), generate

    return add
