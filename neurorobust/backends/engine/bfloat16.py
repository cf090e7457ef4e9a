"""bfloat16 in compiled loops, which do not know the type: as the upper half of a float32's bits."""

from __future__ import annotations

from typing import Any

import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from torch import Tensor

from neurorobust.backends.engine.loops import Array

_WORD = ir.IntType(32)


def array(values: Tensor) -> Array:
    """A tensor for a compiled loop, no copy: bfloat16 as int16, every other type as it is."""
    bits = values.view(torch.int16) if values.dtype == torch.bfloat16 else values
    found: Array = bits.numpy()
    return found


def _widen(_: Any, value: Any) -> Any:
    """An element of `array`, bfloat16 or float32, as float32."""

    def generate(context: Any, build: Any, signature: Any, arguments: Any) -> Any:
        if value == types.float32:
            return arguments[0]
        high = build.shl(build.zext(arguments[0], _WORD), _WORD(16))
        return build.bitcast(high, ir.FloatType())

    return types.float32(value), generate


def _narrow(_: Any, value: Any, like: Any) -> Any:
    """A float32 as an element of the array `like`; to the nearest, ties to even."""
    element = like.dtype

    def generate(context: Any, build: Any, signature: Any, arguments: Any) -> Any:
        if element == types.float32:
            return arguments[0]
        bits = build.bitcast(arguments[0], _WORD)
        odd = build.and_(build.lshr(bits, _WORD(16)), _WORD(1))
        rounded = build.add(build.add(bits, _WORD((1 << 15) - 1)), odd)
        return build.trunc(build.lshr(rounded, _WORD(16)), ir.IntType(16))

    return element(types.float32, like), generate


widened: Any = intrinsic(_widen)
narrowed: Any = intrinsic(_narrow)
