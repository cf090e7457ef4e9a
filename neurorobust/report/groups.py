"""Budgets that belong in one table and under one curve."""

from __future__ import annotations

from dataclasses import dataclass

from neurorobust.budgets import KINDS, BudgetKind, Scale
from neurorobust.records import Record, RobustRate


@dataclass(frozen=True)
class Group:
    """Budgets of one scale, with their rates from weak to strong.

    Attributes:
        kind: of budget.
        scale: on which they are ordered; its words.
        rows: budgets as typed, and what came of each.
    """

    kind: BudgetKind
    scale: Scale
    rows: list[tuple[str, RobustRate]]

    @property
    def caption(self) -> str:
        """Of the table."""
        return f"Accuracy under attack, by {self.scale.how}"

    def place(self, typed: str) -> str:
        """One budget of it, in words."""
        return self.kind.words(typed)


def groups(record: Record) -> list[Group]:
    """The kinds of budget that were tried; of pictures each norm."""
    found = []
    for name, rates in record.robust.items():
        kind = KINDS[name]
        for scale in kind.scales:
            rows = [(typed, rate) for typed, rate in rates.items() if rate.budget.scale == scale]
            rows.sort(key=lambda row: row[1].budget.size)
            if rows:
                found.append(Group(kind, scale, rows))
    return found
