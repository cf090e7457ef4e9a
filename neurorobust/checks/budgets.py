"""Accuracy that does not fall as the adversary may do more."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from neurorobust.budgets import Budget, ImageBudget
from neurorobust.checks.rows import Rows, white_box
from neurorobust.records import Record

LARGE_EPSILON = 0.5  # any image can become plain grey here: nothing can be recognised
LARGE_EPSILON_LEFT = 0.1  # share that may still be right there
RANDOM_RISE = 0.02  # share by which accuracy may rise with the budget where the encoder draws


def rises(record: Record, rows: Rows) -> Iterator[str]:
    """More is left at a budget than at the next smaller one that lies inside it."""
    slack = RANDOM_RISE if record.card.encoder.code.random else 0.0
    compared = set()
    for before, after in combinations(rows, 2):
        if before.text in compared or not after.budget.contains(before.budget):
            continue
        compared.add(before.text)
        series = {"worst case": (before.correct, after.correct)}
        series |= {
            name: (rate.correct, after.by_attack[name].correct)
            for name, rate in before.by_attack.items()
            if record.is_white_box(name) and rate.asked is None and name in after.by_attack
        }
        for name, (low, high) in series.items():
            if high - low > slack * after.total:
                yield (
                    f"{before.place} to {after.text}: accuracy rises from {low} to {high} of "
                    f"{after.total} ({name}): the attack fails at the larger budget"
                )


def large(record: Record, rows: Rows) -> Iterator[str]:
    """Much is left where every image can become plain grey."""
    for robust in rows:
        if not erases(robust.budget):
            continue
        if white_box(record, robust) and robust.correct > LARGE_EPSILON_LEFT * robust.total:
            yield (
                f"{robust.place}: {robust.correct} of {robust.total} still right where every image "
                f"can become plain grey (limit {LARGE_EPSILON_LEFT:.0%}): the attack does not work"
            )


def erases(budget: Budget) -> bool:
    """Whether any image can become plain grey."""
    if not isinstance(budget, ImageBudget):
        return False
    return budget.norm == "linf" and budget.epsilon >= LARGE_EPSILON
