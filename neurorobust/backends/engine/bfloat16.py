"""bfloat16 in compiled loops, which do not know the type: as the upper half of a float32's bits."""

from __future__ import annotations

from typing import Any

import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from torch import Tensor

from neurorobust.backends.engine.loops import Array

_WORD, _HALF = ir.IntType(32), ir.IntType(16)


def array(values: Tensor) -> Array:
    """A tensor for a compiled loop, no copy: bfloat16 as int16, every other type as it is."""
    bits = values.view(torch.int16) if values.dtype == torch.bfloat16 else values
    found: Array = bits.numpy()
    return found


def _widen(_: Any, value: Any) -> Any:
    """An element of `array`, bfloat16 or float32, as float32."""

    def generate(context: Any, build: Any, signature: Any, arguments: Any) -> Any:
        return arguments[0] if value == types.float32 else _wide(build, arguments[0])

    return types.float32(value), generate


def _wide(build: Any, half: Any) -> Any:
    """LLVM code: the float32 whose upper half this is."""
    return build.bitcast(build.shl(build.zext(half, _WORD), _WORD(16)), ir.FloatType())


def _narrow(_: Any, value: Any, like: Any) -> Any:
    """A float32 as an element of the array `like`; to the nearest, ties to even."""
    element = like.dtype

    def generate(context: Any, build: Any, signature: Any, arguments: Any) -> Any:
        if element == types.float32:
            return arguments[0]
        return rounded(build, arguments[0])

    return element(types.float32, like), generate


def rounded(build: Any, value: Any) -> Any:
    """LLVM code: the upper halves of a float32, or of a vector of them."""
    count = getattr(value.type, "count", 0)
    word = ir.VectorType(_WORD, count) if count else _WORD
    half = ir.VectorType(_HALF, count) if count else _HALF

    def number(value: int) -> Any:
        return word([value] * count) if count else word(value)

    bits = build.bitcast(value, word)
    odd = build.and_(build.lshr(bits, number(16)), number(1))
    whole = build.add(build.add(bits, number((1 << 15) - 1)), odd)
    return build.trunc(build.lshr(whole, number(16)), half)


def _note(_: Any, value: Any, theta: Any, like: Any) -> Any:
    """What a trace holds of a float64 v: itself in float32, or v - theta in bfloat16."""
    element = like.dtype

    def generate(context: Any, build: Any, signature: Any, arguments: Any) -> Any:
        if element == types.float32:
            return build.fptrunc(arguments[0], ir.FloatType())
        distance = build.fsub(arguments[0], arguments[1])
        return rounded(build, build.fptrunc(distance, ir.FloatType()))

    return element(types.float64, types.float64, like), generate


def _lie_apart(_: Any, noted: Any, theta: Any) -> Any:
    """The v - theta of what `noted` returned, float32."""

    def generate(context: Any, build: Any, signature: Any, arguments: Any) -> Any:
        if noted == types.float32:
            return build.fsub(arguments[0], arguments[1])
        return _wide(build, arguments[0])

    return types.float32(noted, theta), generate


widened: Any = intrinsic(_widen)
narrowed: Any = intrinsic(_narrow)
noted: Any = intrinsic(_note)
apart: Any = intrinsic(_lie_apart)
