"""Typed, checked fields. A refusal names the layer, the field, the value and the limit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from neurorobust.fixedpoint import WEIGHT_MAX, WEIGHT_MIN
from neurorobust.netx.hdf5 import Group
from neurorobust.netx.image import quoted
from neurorobust.netx.model import IntArray, Pair, Shape
from neurorobust.netx.rules import FORMAT, FRACTION, HOSTILE, RANGE, UNKNOWN_FIELD, WEIGHT_RANGE

INT8_MAX = (1 << 7) - 1  # Lava holds stride, padding, dilation, groups and kernel size in int8
INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1
MAX_NEURONS = 1 << 24  # of one layer; a shape is a few bytes and would allocate any amount


def integers(group: Group, name: str, low: int, high: int) -> IntArray:
    """A field of integers, any shape, stored as integers or as floats without fraction.

    Raises:
        ModelFileError: NaN, infinite, fractional (NetX truncates in silence) or out of range.
    """
    return _limited(group, name, _unfractional(group, name), low, high)


def weights(group: Group, name: str = "weight") -> IntArray:
    """Weights of any shape, in [-256, 254], or to 255 where none is negative."""
    values = _unfractional(group, name)
    high = WEIGHT_MAX if values.min() < 0 else WEIGHT_MAX + 1
    return _limited(group, name, values, WEIGHT_MIN, high, WEIGHT_RANGE)


def finite(group: Group, name: str) -> npt.NDArray[Any]:
    """A numeric field without NaN and infinities, booleans as integers."""
    values = group.array(name)
    if values.size == 0:
        group.fail(f"{group.prefix}{name} has shape {values.shape}, holds nothing", FORMAT)
    if values.dtype.kind == "b":
        return values.astype(np.int64)
    if values.dtype.kind == "f":
        values = values.astype(np.float64)
        bad = ~np.isfinite(values)
        if bad.any():
            group.fail(f"{group.prefix}{name} {_first(values, bad)} is not finite", FORMAT)
    return values


def number(group: Group, name: str) -> float:
    """A single finite number, scalar or array of one."""
    values = finite(group, name)
    if values.size != 1:
        group.fail(f"{group.prefix}{name} has shape {values.shape}, needs a single number", FORMAT)
    return float(values.reshape(()))


def neutral(group: Group, name: str, why: str, rule: str) -> None:
    """A field that Lava drops and that is therefore only harmless where it is zero."""
    values = finite(group, name)
    if values.any():
        group.fail(f"{group.prefix}{name} {_first(values, values != 0)} is not 0: {why}", rule)


def whole(group: Group, name: str, low: int, high: int) -> int:
    """A single integer in [low, high]."""
    values = integers(group, name, low, high)
    if values.size != 1:
        group.fail(f"{group.prefix}{name} has shape {values.shape}, needs a single number", FORMAT)
    return int(values.reshape(()))


def pair(group: Group, name: str, low: int) -> Pair:
    """(H, W) in [low, 127], from one number or two."""
    values = integers(group, name, low, INT8_MAX)
    if values.ndim > 1 or values.size > 2:
        group.fail(f"{group.prefix}{name} has shape {values.shape}, needs 1 or 2 entries", FORMAT)
    entries = values.reshape(-1)
    return int(entries[0]), int(entries[-1])


def extents(group: Group) -> tuple[int, ...]:
    """The field `shape` as stored: one to three positive entries."""
    values = integers(group, "shape", 1, MAX_NEURONS)
    if values.ndim != 1 or values.size > 3:
        group.fail(f"shape has shape {values.shape} itself, needs 1 to 3 entries", FORMAT)
    entries = tuple(int(value) for value in values)
    if int(np.prod(values.astype(np.float64))) > MAX_NEURONS:
        group.fail(f"shape {entries} means more than {MAX_NEURONS} neurons", HOSTILE)
    return entries


def volume(entries: tuple[int, ...]) -> Shape:
    """A stored shape as C, H, W: (F,) is (F, 1, 1), (H, W) is (1, H, W) as NetX has it."""
    if len(entries) == 1:
        return entries[0], 1, 1
    channels, height, width = (1, *entries)[-3:]
    return channels, height, width


def known(group: Group, names: frozenset[str]) -> None:
    """Refuse members that neither SLAYER writes nor NetX reads."""
    for name in group.names():
        if name not in names:
            field = quoted(group.prefix + name)
            group.fail(f"unknown field {field}, known: {', '.join(sorted(names))}", UNKNOWN_FIELD)


def _unfractional(group: Group, name: str) -> npt.NDArray[Any]:
    values = finite(group, name)
    if values.dtype.kind == "f":
        fractional = values != np.trunc(values)
        if fractional.any():
            group.fail(
                f"{group.prefix}{name} {_first(values, fractional)} is not an integer, "
                "NetX would truncate it",
                FRACTION,
            )
    return values


def _limited(
    group: Group, name: str, values: npt.NDArray[Any], low: int, high: int, rule: str = RANGE
) -> IntArray:
    outside = (values < low) | (values > high)
    if outside.any():
        group.fail(f"{group.prefix}{name} {_first(values, outside)} outside [{low}, {high}]", rule)
    return values.astype(np.int64)


def _first(values: npt.NDArray[Any], where: npt.NDArray[np.bool_]) -> str:
    value = values[where].reshape(-1)[0].item()
    return f"{value:.12g}" if isinstance(value, float) else str(value)
