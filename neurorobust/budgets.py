"""Budgets as typed: `0.1`, `8/255` (eps), `10` (flips). The only place that reads them."""

from __future__ import annotations

from neurorobust.errors import BadInput


def parse_epsilon(text: str) -> float:
    """`0.1` or `8/255`, in pixel units.

    Raises:
        BadInput: not a number, NaN, or outside [0, 1].
    """
    above, slash, below = text.partition("/")
    try:
        value = float(above) / float(below) if slash else float(above)
    except (ValueError, ZeroDivisionError):
        raise BadInput(f"eps {text!r}: not a number, need for example 0.1 or 8/255") from None
    if not 0 <= value <= 1:
        raise BadInput(f"eps {text!r}: outside [0, 1] (pixel units, before any normalisation)")
    return value


def parse_flips(text: str) -> int:
    """`10`.

    Raises:
        BadInput: not a whole number, or below 0.
    """
    try:
        value = int(text)
    except ValueError:
        raise BadInput(f"flips {text!r}: not a whole number") from None
    if value < 0:
        raise BadInput(f"flips {text!r}: below 0")
    return value


def parse_budget(kind: str, text: str) -> float:
    """The number a budget of a kind (`eps` or `flips`) stands for.

    Raises:
        BadInput: not a budget of that kind.
    """
    return parse_epsilon(text) if kind == "eps" else float(parse_flips(text))
