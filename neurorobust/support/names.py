"""A name that is not known, and which one was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

MOST = 3  # suggestions


def unknown(what: str, name: str, known: Iterable[str], more: str = "") -> str:
    """The message for a name that is none of the known ones.

    Args:
        what: kind of thing, or the option: `attack`, `--encoder`.
        name: as typed.
        known: all names there are.
        more: how else to see them, where they are many.

    Example:
        >>> unknown("attack", "pdg-linf", ["pgd-linf", "sda"], "`neurorobust attacks` lists all")
        "attack 'pdg-linf': unknown, did you mean pgd-linf? `neurorobust attacks` lists all"
        >>> unknown("attack", "magic", ["pgd-linf", "sda"])
        "attack 'magic': unknown, known: pgd-linf, sda"
    """
    listed = list(known)
    close = near(name, listed)
    if not close:
        return f"{what} {name!r}: unknown, known: {', '.join(listed)}"
    meant = f"{what} {name!r}: unknown, did you mean {' or '.join(close)}?"
    return f"{meant} {more}" if more else meant


def near(name: str, known: Iterable[str]) -> list[str]:
    """The names that begin with this one or are spelt like it, the nearest first."""
    listed = list(known)
    longer = [one for one in listed if len(name) > 1 and one.startswith(name)]
    spelt = get_close_matches(name, listed, MOST)
    return list(dict.fromkeys([*longer, *spelt]))[:MOST]


def either(names: Iterable[str]) -> str:
    """`a, b or c`."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
