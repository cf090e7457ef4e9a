"""Attacks that are no stronger than chance, or weaker than those who know less."""

from __future__ import annotations

from collections.abc import Iterator

from neurorobust.budgets import Budget
from neurorobust.checks.rows import Rows, white_box
from neurorobust.records import Record

UNCHANGED = 0.2  # share of the samples for which an attack may propose x itself
FEW = 3  # a tie of fewer broken samples than this says nothing
BEYOND = 0.01  # share that attacks without gradients may add to a recipe's white-box ones


def controls(record: Record, rows: Rows) -> Iterator[str]:
    """Blind noise breaks as many as the best white-box attack."""
    for robust in rows:
        attacks = white_box(record, robust)
        if not attacks:
            continue
        name, best = max(attacks.items(), key=lambda item: item[1])
        for control, rate in robust.by_attack.items():
            if not record.is_control(control) or best == rate.success.total:
                continue  # nothing left to break
            more = rate.success.correct - best
            if more > 0 or (more == 0 and best >= FEW):
                yield (
                    f"{robust.place}: {control} breaks {rate.success.correct} samples, {name} "
                    f"{best}: the white-box attack is no stronger than chance"
                )


def uncontrolled(record: Record, rows: Rows) -> Iterator[str]:
    """Attacks without blind noise of the same size beside them."""
    alone = [
        robust.text
        for robust in rows
        if robust.by_attack and not any(map(record.is_control, robust.by_attack))
    ]
    if alone:
        yield (
            f"{rows[0].kind} {', '.join(alone)}: no control was run: nothing shows that the "
            "attacks are stronger than blind noise of the same size"
        )


def black_box(record: Record, rows: Rows) -> Iterator[str]:
    """Who only asks breaks what who knows the gradients does not."""
    for robust in rows:
        attacks = white_box(record, robust)
        if not attacks:
            continue
        name, best = max(attacks.items(), key=lambda item: item[1])
        for other, rate in robust.by_attack.items():
            if not record.is_black_box(other):
                continue
            broken = rate.success.correct
            if rate.asked is None and broken - best >= FEW:
                yield (
                    f"{robust.place}: {other} breaks {broken} samples without gradients, {name} "
                    f"{best} with them: gradients are masked"
                )
            alone = 0 if rate.asked is None else rate.beyond or 0
            if alone >= max(FEW, BEYOND * robust.total):
                yield (
                    f"{robust.place}: {other} breaks {alone} samples without gradients that no "
                    "white-box attack broke: gradients are masked"
                )


def unchanged(record: Record, rows: Rows) -> Iterator[str]:
    """An attack that proposes x itself: it found nothing inside the budget."""
    for robust in rows:
        if _empty(robust.budget):
            continue
        for name, rate in robust.by_attack.items():
            sound = record.attacks.get(name, {}).get("may_return_x", False)
            asked = rate.success.total
            if not sound and rate.unchanged > UNCHANGED * asked:
                yield (
                    f"{robust.place}: {name} proposes the sample itself for {rate.unchanged} of "
                    f"{asked} (limit {UNCHANGED:.0%}): the attack does not work there"
                )


def _empty(budget: Budget) -> bool:
    """Whether nothing may change."""
    return int(budget.size) == 0 if budget.whole else budget.size == 0


def transfer(record: Record) -> Iterator[str]:
    """What was crafted on the float network breaks as many as what was crafted here."""
    for comparison in record.comparison:
        cells = {(cell.crafted, cell.scored): cell.success for cell in comparison.cells}
        carried, direct = cells["float", "deployed"], cells["deployed", "deployed"]
        if direct.correct == direct.total:
            continue  # nothing left to break
        if 0 < carried.correct >= direct.correct:
            yield (
                f"{comparison.attack} at {comparison.epsilon}: crafted on float it breaks "
                f"{carried.correct} of {carried.total} on the deployed network, crafted there "
                f"{direct.correct}: transfer beats white-box, the direct attack is too weak"
            )
