"""The rates of one kind of budget, from the weakest budget to the strongest."""

from __future__ import annotations

from typing import TypeAlias

from neurorobust.records import Record, RobustRate

Rows: TypeAlias = "list[RobustRate]"


def white_box(record: Record, robust: RobustRate) -> dict[str, float]:
    """Samples broken by each white-box attack; a recipe's members are one attack together.

    A sample that several members or seeds broke counts once.
    """
    found = {
        name: rate.success.correct
        for name, rate in robust.by_attack.items()
        if record.is_white_box(name) and rate.asked is None
    }
    members = [
        name
        for name, rate in robust.by_attack.items()
        if record.is_white_box(name) and rate.asked is not None
    ]
    if members and record.recipe is not None:
        found[record.recipe.name] = robust.white_box
    return found
