"""`WIDTH` entries at once, at any place of flat arrays, as vector code.

numba would check every index for being negative and every pair of arrays for overlapping, which
takes longer than the additions.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from neurorobust.backends.engine.lif_vector import WIDTH


def _spot(context: Any, build: Any, kind: Any, array: Any, at: Any) -> tuple[Any, Any]:
    """Where `WIDTH` entries of an array begin, as a pointer to a vector; and the vector's type."""
    vector = ir.VectorType(context.get_data_type(kind.dtype), WIDTH)
    data = context.make_array(kind)(context, build, array).data
    return build.bitcast(build.gep(data, [at]), vector.as_pointer()), vector


def _load(context: Any, build: Any, kind: Any, array: Any, at: Any) -> Any:
    spot, _ = _spot(context, build, kind, array, at)
    return build.load(spot, align=1)


def _everywhere(build: Any, scalar: Any, vector: Any) -> Any:
    single = build.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.IntType(32)(0))
    return build.shuffle_vector(single, single, ir.VectorType(ir.IntType(32), WIDTH)(None))


def _add_scaled(
    _: Any, into: Any, at: Any, one: Any, at_one: Any, other: Any, at_other: Any, factor: Any
) -> Any:
    """`into[at:] = one[at_one:] + factor * other[at_other:]`, `WIDTH` entries of one float type."""

    def generate(context: Any, build: Any, signature: Any, values: Any) -> Any:
        kinds = signature.args
        first = _load(context, build, kinds[2], values[2], values[3])
        second = _load(context, build, kinds[4], values[4], values[5])
        spot, vector = _spot(context, build, kinds[0], values[0], values[1])
        scaled = build.fmul(second, _everywhere(build, values[6], vector))
        build.store(build.fadd(first, scaled), spot, align=1)
        return context.get_dummy_value()

    place = types.int64
    return types.void(into, place, one, place, other, place, into.dtype), generate


def _copy(_: Any, into: Any, at: Any, one: Any, at_one: Any) -> Any:
    """`into[at:] = one[at_one:]`, `WIDTH` entries of one type."""

    def generate(context: Any, build: Any, signature: Any, values: Any) -> Any:
        kinds = signature.args
        spot, _ = _spot(context, build, kinds[0], values[0], values[1])
        build.store(_load(context, build, kinds[2], values[2], values[3]), spot, align=1)
        return context.get_dummy_value()

    return types.void(into, types.int64, one, types.int64), generate


def _set_bit(_: Any, words: Any, at: Any, spikes: Any, step: Any) -> Any:
    """`words[at:] |= spikes[at:] << step`: uint64 words, uint8 spikes of 0 and 1."""

    def generate(context: Any, build: Any, signature: Any, values: Any) -> Any:
        kinds = signature.args
        spot, vector = _spot(context, build, kinds[0], values[0], values[1])
        bits = build.zext(_load(context, build, kinds[2], values[2], values[1]), vector)
        shifted = build.shl(bits, _everywhere(build, values[3], vector))
        build.store(build.or_(build.load(spot, align=1), shifted), spot, align=1)
        return context.get_dummy_value()

    return types.void(words, types.int64, spikes, types.int64), generate


add_scaled: Any = intrinsic(_add_scaled)
copy: Any = intrinsic(_copy)
set_bit: Any = intrinsic(_set_bit)
