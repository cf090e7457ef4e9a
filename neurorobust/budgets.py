"""Budgets as typed; the only place that reads them.

eps       0.1   8/255   l2:0.5   l1:10   l0:5          pixels; L-infinity unless it says so
flips     10   insert=5   delete=5   insert=5+delete=3   10+channel=1   10+rows=2:8+columns=2:8
shifts    reach=2   reach=3+spikes=4   reach=3+total=10
patches   5x5
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from neurorobust.errors import BadInput
from neurorobust.sizes import size
from neurorobust.types import NORMS, Budget, ImageBudget, PatchBudget, ShiftBudget, SpikeBudget

# kinds of budgets, and the domain of the attacks that they bound
KINDS = {"eps": "images", "flips": "spikes", "shifts": "spikes", "patches": "spikes"}
# by kind, the first for messages: how a budget is typed, and what one sample may change
TYPED = {
    "eps": ("0.1", "8/255", "l2:1.5", "l1:10", "l0:20"),
    "flips": ("10", "insert=5+delete=3", "10+channel=1", "10+rows=2:8+columns=0:4"),
    "shifts": ("reach=2", "reach=3+spikes=4", "reach=3+total=10"),
    "patches": ("5x5",),
}
ABOUT = {
    "eps": "pixels in [0, 1], by so much in L-infinity, L2 or L1, or so many of them (l0)",
    "flips": "spikes made or deleted, in all, by side, of one channel, in one region",
    "shifts": "spikes moved in time, by so many steps, so many of them or so far in all",
    "patches": "one rectangle of the sensor, all channels and steps",
}

_Value = TypeVar("_Value")


def parse_epsilon(text: str) -> float:
    """`0.1`, `8/255` or `l2:0.5`: the number alone.

    Raises:
        BadInput: not a number, NaN, or (L-infinity) outside [0, 1].
    """
    return parse_image(text).epsilon


def parse_image(text: str) -> ImageBudget:
    """`0.1`, `8/255`, `l2:0.5`.

    Raises:
        BadInput: an unknown norm, not a number, NaN, below 0, or (L-infinity) outside [0, 1].
    """
    norm, colon, number = text.partition(":")
    if not colon:
        norm, number = "linf", text
    if norm not in NORMS:
        raise BadInput(f"eps {text!r}: norm {norm!r} unknown, known: {', '.join(NORMS)}")
    above, slash, below = number.partition("/")
    try:
        value = float(above) / float(below) if slash else float(above)
    except (ValueError, ZeroDivisionError):
        raise BadInput(f"eps {text!r}: not a number, need for example 0.1 or 8/255") from None
    if norm == "linf" and not 0 <= value <= 1:
        raise BadInput(f"eps {text!r}: outside [0, 1] (pixel units, before any normalisation)")
    if not 0 <= value < float("inf"):
        raise BadInput(f"eps {text!r}: not a size (0 or above)")
    return ImageBudget(value, norm)


def parse_flips(text: str) -> SpikeBudget:
    """`10`, `insert=5+delete=3`, `10+channel=1`, `10+rows=2:8+columns=0:4`.

    Raises:
        BadInput: not of that form, or below 0.
    """
    first, _, rest = text.partition("+")
    total = None if "=" in first else _whole("flips", text, first)
    words = _words("flips", text, text if total is None else rest)
    span = _taken(words, ("rows", "columns"), lambda value: _span(text, value))
    count = _taken(
        words, ("insert", "delete", "channel"), lambda value: _whole("flips", text, value)
    )
    if words:
        raise BadInput(f"flips {text!r}: {next(iter(words))!r} unknown")
    one_sided = "insert" in count or "delete" in count
    if total is None and not one_sided:
        raise BadInput(f"flips {text!r}: says no number, need for example 10 or insert=5+delete=3")
    insertions, deletions = count.get("insert"), count.get("delete")
    if one_sided:
        insertions, deletions = insertions or 0, deletions or 0
        total = insertions + deletions if total is None else total
    assert total is not None
    return SpikeBudget(
        total, insertions, deletions, count.get("channel"), span.get("rows"), span.get("columns")
    )


def parse_shifts(text: str) -> ShiftBudget:
    """`reach=2`, `reach=3+spikes=4`, `reach=3+total=10`.

    Raises:
        BadInput: not of that form, or below 0.
    """
    words = _words("shifts", text, text)
    count = _taken(words, ("reach", "spikes", "total"), lambda value: _whole("shifts", text, value))
    if words or "reach" not in count:
        raise BadInput(f"shifts {text!r}: need for example reach=2 or reach=3+spikes=4")
    return ShiftBudget(count["reach"], count.get("total"), count.get("spikes"))


def parse_patch(text: str) -> PatchBudget:
    """`5x5`: height x width.

    Raises:
        BadInput: not of that form, or below 0.
    """
    height, cross, width = text.partition("x")
    if not cross:
        raise BadInput(f"patches {text!r}: need height x width, for example 5x5")
    return PatchBudget(_whole("patches", text, height), _whole("patches", text, width))


PARSERS: dict[str, Callable[[str], Budget]] = {
    "eps": parse_image,
    "flips": parse_flips,
    "shifts": parse_shifts,
    "patches": parse_patch,
}


def parse(kind: str, text: str) -> Budget:
    """A budget of one of `KINDS`.

    Raises:
        BadInput: not a budget of that kind.
    """
    return PARSERS[kind](text.strip())


def size_of(kind: str, text: str) -> float:
    """`size` of a budget as typed."""
    return size(parse(kind, text))


def _words(kind: str, text: str, typed: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in filter(None, typed.split("+")):
        name, equals, value = word.partition("=")
        if not equals or name in found:
            raise BadInput(f"{kind} {text!r}: {word!r} is no name=value, or a name given twice")
        found[name] = value
    return found


def _taken(
    words: dict[str, str], names: tuple[str, ...], read: Callable[[str], _Value]
) -> dict[str, _Value]:
    return {name: read(words.pop(name)) for name in names if name in words}


def _span(text: str, value: str) -> tuple[int, int]:
    first, colon, last = value.partition(":")
    if not colon:
        raise BadInput(f"flips {text!r}: {value!r} is no range, need for example 2:8")
    return _whole("flips", text, first), _whole("flips", text, last)


def _whole(kind: str, text: str, number: str) -> int:
    try:
        value = int(number)
    except ValueError:
        raise BadInput(f"{kind} {text!r}: not a whole number") from None
    if value < 0:
        raise BadInput(f"{kind} {text!r}: below 0")
    return value
