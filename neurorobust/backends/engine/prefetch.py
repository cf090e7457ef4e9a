"""Asking for memory ahead of time, where a processor does not guess what a loop takes next."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from neurorobust.backends.engine.loops import Array, compiled

LINE = 64  # bytes


def _fetch(_: Any, row: Any, place: Any) -> Any:
    """Bring entry `place` of a row into the cache, soon."""

    def generate(context: Any, build: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, build, arguments[0]).data
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        prefetch = build.module.declare_intrinsic("llvm.prefetch", (byte,), kind)
        spot = build.bitcast(build.gep(data, [arguments[1]]), byte)
        build.call(prefetch, [spot, number(0), number(3), number(1)])  # to read, to keep, data
        return context.get_dummy_value()

    return types.void(row, types.int64), generate


_one: Any = intrinsic(_fetch)


@compiled
def prefetch(row: Array) -> None:
    """Bring a row into the cache, soon."""
    for place in range(0, row.size, LINE // row.itemsize):
        _one(row, place)
