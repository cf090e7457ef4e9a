"""What a fault's record shows: one table a fault, the same on page and terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from neurorobust.faults.record import BitsRecord, FaultRecord, InputsRecord, LeakRecord
from neurorobust.faults.sequence import REGIMES
from neurorobust.fixedpoint import STATE_LIMIT
from neurorobust.report import words


@dataclass(frozen=True)
class Sheet:
    """One table and what is to be said of it.

    Attributes:
        title: what was done.
        heads: of the columns; the first names the row.
        rows: as many cells as heads each.
        notes: sentences below it.
        settings: of the adversary, by name.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    settings: dict[str, str]


def sheet(record: FaultRecord) -> Sheet:
    """The table of a record."""
    return SHEETS[record.fault](record)


def _rate(rate: words.Counted) -> str:
    """`98.9 % (98.0 to 99.4 %)`."""
    return f"{words.percent(rate)} ({words.interval(rate)})"


def _bits(record: BitsRecord) -> Sheet:
    rows = []
    for row in record.rows:
        ordered = sorted(row.random, key=lambda rate: rate.correct)
        middle = ordered[(len(ordered) - 1) // 2]
        spread = " to ".join(words.percent(rate) for rate in (ordered[0], ordered[-1]))
        rows.append((str(row.bits), _rate(row.searched), _rate(middle), spread))
    return Sheet(
        "Right answers after flipped weight bits",
        ("bits", "searched", "random, median", "random, least to most"),
        tuple(rows),
        (f"{words.plural(record.repeats, 'repetition')} of random bits.",),
        {
            "samples the adversary had": words.count(record.known),
            "backward mode of the search": record.mode,
            "bits of each matrix tried in a round": str(record.candidates),
        },
    )


def _leak(record: LeakRecord) -> Sheet:
    rows = tuple(
        (row.regime, *map(_rate, (row.alone, row.control, row.natural, row.crafted)))
        for row in record.rows
    )
    return Sheet(
        "Right answers to a sample, by the sample before it",
        ("resets", "alone", "after any sample", "after the worst", "after a crafted one"),
        rows,
        tuple(f"{row.regime}: {REGIMES[row.regime].about}." for row in record.rows),
        {
            "samples the adversary had": words.count(record.known),
            "queries a victim while crafting": str(record.rounds),
        },
    )


def _inputs(record: InputsRecord) -> Sheet:
    rows = tuple(
        (
            name,
            _rate(row.correct),
            _rate(row.late),
            _rate(row.apart),
            f"{row.operations:,.0f}",
            f"{words.count(row.wrapped.correct)} of {words.count(row.wrapped.total)} "
            f"({row.wraps} times)",
        )
        for name, row in record.rows.items()
    )
    limit = f"2^{STATE_LIMIT.bit_length() - 1} = {STATE_LIMIT:,}"
    notes = tuple(
        f"layer {bound.layer}: |u| at most {bound.current:,}, "
        f"{'can wrap' if bound.can_wrap else 'can never wrap'} at {limit}"
        for bound in record.bounds
    )
    budget = ", ".join(words.budget(kind, typed) for kind, typed in record.budget.items())
    return Sheet(
        f"Inputs chosen for {record.objective}",
        ("inputs", "right", "right on the global clock", "clocks part", "operations", "wrapped"),
        rows,
        notes,
        {"budget": budget, "gradients of the search": str(record.rounds)},
    )


SHEETS: dict[str, Callable[[Any], Sheet]] = {"bits": _bits, "leak": _leak, "inputs": _inputs}
