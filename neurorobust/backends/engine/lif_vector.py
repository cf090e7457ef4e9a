"""`fixedpoint.lif_step` for `WIDTH` neurons as vector code.

Written for LLVM, because numba's own loops meet nine arrays that might overlap, check that they do
not for every row, and take three times as long.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from neurorobust.backends.engine import bfloat16
from neurorobust.fixedpoint import DECAY_UNITY, STATE_LIMIT, STATE_SHIFT

WIDTH = 16


def vector_step(remembers: bool, recorded: bool, never_wraps: bool, rest: bool = False) -> Any:
    """An intrinsic that takes neurons `start` to `start` + WIDTH through one step.

    Args:
        remembers: something may be kept of u.
        recorded: v before the reset and u are written down; v as `bfloat16.noted` does.
        never_wraps: sums need no shift, and u is proven never to wrap.
        rest: the row may end before `start` + WIDTH; nothing behind it is touched.
    """

    @intrinsic
    def step(
        _: Any, row: Any, scale: Any, fired: Any, u: Any, v: Any, kept_u: Any, kept_v: Any,
        theta: Any, bias: Any, high: Any, now: Any, start: Any,
    ) -> Any:  # fmt: skip
        arrays = (row, fired, u, v, kept_u, kept_v, theta, bias, high, now)

        def generate(context: Any, build: Any, signature: Any, arguments: Any) -> Any:
            row, scale, fired, u, v, kept_u, kept_v, theta, bias, high, now, start = arguments
            kinds = dict(zip(arguments, signature.args, strict=True))
            code = _Code(context, build, kinds, v, start)
            if rest:
                code.end_with(row)
            # `fixedpoint.lif_step`: u <- trunc(u k / 4096) + 64 a, wrapped into 24 bits;
            # v <- trunc(v k / 4096) + u + bias, clipped; a spike where v > theta sets v to 0
            whole, unit = code.load(row), code.number(1 << STATE_SHIFT)
            if not never_wraps:
                whole = code.call("llvm.floor", code.times(whole, code.spread(scale)))
            if remembers:
                left = code.leak(code.load(u), code.load(kept_u))
                total = code.times_plus(whole, unit, left)
            else:
                total = code.times(whole, unit)
            total = total if never_wraps else code.wrap(total)
            reached = build.fadd(code.leak(code.load(v), code.load(kept_v)), total)
            reached = code.clip(build.fadd(reached, code.load(bias)))
            spike = build.fcmp_ordered(">", reached, code.load(theta))
            if remembers or recorded:
                code.store(total, u)
            if recorded:
                code.note(reached, theta, high)
                code.store(total, now)
            code.store(build.zext(spike, ir.VectorType(ir.IntType(8), WIDTH)), fired)
            code.store(build.select(spike, code.number(0), reached), v)
            return context.get_dummy_value()

        row, fired, u, v, kept_u, kept_v, theta, bias, high, now = arrays
        return types.void(
            row, scale, fired, u, v, kept_u, kept_v, theta, bias, high, now, types.int64
        ), generate

    return step


class _Code:
    """Vector operations in the type of v."""

    def __init__(self, context: Any, build: Any, kinds: Any, v: Any, start: Any) -> None:
        self.context, self.build, self.kinds, self.start = context, build, kinds, start
        self.double = ir.DoubleType()
        self.type = ir.VectorType(context.get_data_type(kinds[v].dtype), WIDTH)
        self.inside: Any = None  # which of the neurons exist; None: all

    def end_with(self, row: Any) -> None:
        """Touch no neuron behind the end of a row."""
        size = self.context.make_array(self.kinds[row])(self.context, self.build, row).nitems
        lanes = ir.VectorType(ir.IntType(64), WIDTH)
        left = self._everywhere(self.build.sub(size, self.start), lanes)
        self.inside = self.build.icmp_signed("<", lanes(list(range(WIDTH))), left)

    def number(self, value: float) -> Any:
        return self.type([float(value)] * WIDTH)

    def spread(self, scalar: Any) -> Any:
        return self._everywhere(self._cast(scalar, scalar.type, self.type.element), self.type)

    def _everywhere(self, scalar: Any, kind: Any) -> Any:
        single = self.build.insert_element(
            ir.Constant(kind, ir.Undefined), scalar, ir.IntType(32)(0)
        )
        places = ir.VectorType(ir.IntType(32), WIDTH)(None)
        return self.build.shuffle_vector(single, single, places)

    def times(self, left: Any, right: Any) -> Any:
        return self.build.fmul(left, right)

    def times_plus(self, left: Any, right: Any, added: Any) -> Any:
        """In one instruction where there is one; both are exact here, so they are equal."""
        return self.call("llvm.fmuladd", left, right, added)

    def call(self, name: str, *values: Any) -> Any:
        bits = 64 if self.type.element == self.double else 32
        kind = ir.FunctionType(self.type, [self.type] * len(values))
        function = self.build.module.declare_intrinsic(f"{name}.v{WIDTH}f{bits}", (), kind)
        return self.build.call(function, values)

    def leak(self, x: Any, kept: Any) -> Any:
        """trunc(x * kept / 4096) in two parts (see `lif_cpu`)."""
        part = self.number(1 / DECAY_UNITY)
        high = self.call("llvm.trunc", self.times(x, part))
        low = self.times_plus(high, self.number(-DECAY_UNITY), x)
        rest = self.call("llvm.trunc", self.times(self.times(low, kept), part))
        return self.times_plus(high, kept, rest)

    def wrap(self, u: Any) -> Any:
        build, span = self.build, self.number(2 * STATE_LIMIT)
        above = build.fcmp_ordered(">", u, self.number(STATE_LIMIT))
        below = build.fcmp_ordered("<=", u, self.number(-STATE_LIMIT))
        return build.select(above, build.fsub(u, span), build.select(below, build.fadd(u, span), u))

    def clip(self, v: Any) -> Any:
        for relation, limit in ((">", STATE_LIMIT - 1), ("<", 1 - STATE_LIMIT)):
            beyond = self.build.fcmp_ordered(relation, v, self.number(limit))
            v = self.build.select(beyond, self.number(limit), v)
        return v

    def load(self, array: Any) -> Any:
        element = self.context.get_data_type(self.kinds[array].dtype)
        kind = ir.VectorType(element, WIDTH)
        loaded = self._read(self._spot(array, kind), kind)
        return self._cast(loaded, kind, self.type)

    def store(self, value: Any, array: Any) -> None:
        element = self.context.get_data_type(self.kinds[array].dtype)
        target = ir.VectorType(element, WIDTH)
        if isinstance(element, ir.IntType) and element.width > 8:
            value = self.build.fptosi(value, target)
        else:
            value = self._cast(value, value.type, target)
        self._write(value, self._spot(array, target))

    def note(self, reached: Any, theta: Any, high: Any) -> None:
        """V as it is, or v - theta in bfloat16 (see `bfloat16.noted`)."""
        if self.kinds[high].dtype == types.float32:
            self.store(reached, high)
            return
        distance = self.build.fsub(reached, self.load(theta))
        if self.type.element == self.double:
            distance = self.build.fptrunc(distance, ir.VectorType(ir.FloatType(), WIDTH))
        halves = bfloat16.rounded(self.build, distance)
        self._write(halves, self._spot(high, halves.type))

    def _read(self, spot: Any, kind: Any) -> Any:
        if self.inside is None:
            return self.build.load(spot, align=1)
        given = [spot.type, ir.IntType(32), self.inside.type, kind]
        masked = self._masked("load", kind, ir.FunctionType(kind, given))
        return self.build.call(masked, [spot, ir.IntType(32)(1), self.inside, kind(None)])

    def _write(self, value: Any, spot: Any) -> None:
        if self.inside is None:
            self.build.store(value, spot, align=1)
            return
        given = [value.type, spot.type, ir.IntType(32), self.inside.type]
        masked = self._masked("store", value.type, ir.FunctionType(ir.VoidType(), given))
        self.build.call(masked, [value, spot, ir.IntType(32)(1), self.inside])

    def _masked(self, what: str, vector: Any, kind: Any) -> Any:
        name = f"llvm.masked.{what}.v{WIDTH}{vector.element.intrinsic_name}.p0"
        return self.build.module.declare_intrinsic(name, (), kind)

    def _spot(self, array: Any, kind: Any) -> Any:
        data = self.context.make_array(self.kinds[array])(self.context, self.build, array).data
        return self.build.bitcast(self.build.gep(data, [self.start]), kind.as_pointer())

    def _cast(self, value: Any, given: Any, wanted: Any) -> Any:
        """Between float32 and float64, scalar or vector."""
        if given == wanted:
            return value
        widens = getattr(wanted, "element", wanted) == self.double
        return (self.build.fpext if widens else self.build.fptrunc)(value, wanted)
