"""Budgets that belong in one table and under one curve."""

from __future__ import annotations

from dataclasses import dataclass

from neurorobust.budgets import parse_image
from neurorobust.records import Record, RobustRate
from neurorobust.report.words import budget, by_strength


@dataclass(frozen=True)
class Group:
    """Budgets that can be ordered, with their rates from weak to strong.

    Attributes:
        kind: of budget, one of `budgets.KINDS`.
        norm: of images; empty otherwise.
        symbol: heads a column.
        grows: what rises from row to row.
        axis: the same, under a curve.
        caption: of the table.
        may: what the adversary may do, before the budgets are listed.
        rows: budgets as typed.
    """

    kind: str
    norm: str
    symbol: str
    grows: str
    axis: str
    caption: str
    may: str
    rows: list[tuple[str, RobustRate]]

    def place(self, typed: str) -> str:
        """One budget of it, in words."""
        return budget(self.kind, typed)


PICTURES = {
    "linf": (
        "how far a pixel may change (ε)",
        "largest change of a pixel",
        "change pixels by",
    ),
    "l2": ("how far a picture may move (L2)", "L2 distance", "move a picture in L2 by"),
    "l1": ("how far a picture may move (L1)", "L1 distance", "move a picture in L1 by"),
    "l0": ("how many pixels may change (L0)", "pixels changed", "change as many pixels as"),
}
SPIKES = {
    "flips": (
        "flips", "the number of flips", "spikes flipped",
        "how many input spikes may be flipped", "add or remove up to",
    ),
    "shifts": (
        "shifts", "the size of shifts", "size of the shifts",
        "how input spikes may be moved in time", "move input spikes in time by",
    ),
    "patches": (
        "patch", "the patch", "area of the patch",
        "the rectangle of the sensor that may change", "change everything in a rectangle of",
    ),
}  # fmt: skip


def groups(record: Record) -> list[Group]:
    """The kinds of budget that were tried; of pictures each norm."""
    found = []
    for norm, (how, axis, may) in PICTURES.items():
        rates = {
            typed: rate for typed, rate in record.robust.items() if parse_image(typed).norm == norm
        }
        if rates:
            caption = f"Accuracy under attack, by {how}"
            rows = by_strength(rates, "eps")
            found.append(Group("eps", norm, "ε", "ε", f"ε, {axis}", caption, may, rows))
    for kind, rates in record.by_kind().items():
        if kind in SPIKES:
            symbol, grows, axis, how, may = SPIKES[kind]
            caption = f"Accuracy under attack, by {how}"
            found.append(
                Group(kind, "", symbol, grows, axis, caption, may, by_strength(rates, kind))
            )
    return found
