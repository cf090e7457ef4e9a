"""Attacks that are no stronger than chance, or weaker than those who know less."""

from __future__ import annotations

from collections.abc import Iterator

from neurorobust.budgets import size_of
from neurorobust.checks.rows import Rows, white_box
from neurorobust.records import Record

FEW = 3  # a tie of fewer broken samples than this says nothing
BEYOND = 0.01  # share that attacks without gradients may add to a recipe's white-box ones


def controls(record: Record, kind: str, rows: Rows) -> Iterator[str]:
    """Blind noise breaks as many as the best white-box attack."""
    for typed, robust in rows:
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
                    f"{kind} {typed}: {control} breaks {rate.success.correct} samples, {name} "
                    f"{best}: the white-box attack is no stronger than chance"
                )


def black_box(record: Record, kind: str, rows: Rows) -> Iterator[str]:
    """Who only asks breaks what who knows the gradients does not."""
    for typed, robust in rows:
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
                    f"{kind} {typed}: {other} breaks {broken} samples without gradients, {name} "
                    f"{best} with them: gradients are masked"
                )
            if rate.asked is not None and broken >= max(FEW, BEYOND * robust.total):
                yield (
                    f"{kind} {typed}: {other} breaks {broken} samples without gradients that "
                    f"survived every white-box attack before it: gradients are masked"
                )


def redraws(record: Record, kind: str, rows: Rows) -> Iterator[str]:
    """Images into a random encoder: every attack is one more draw as well."""
    again = record.redraw
    if again is None or kind != "eps":
        return
    for typed, robust in rows:
        counts = white_box(record, robust)
        counts |= {
            name: rate.success.correct
            for name, rate in robust.by_attack.items()
            if rate.asked is None and not record.is_control(name)
        }
        for name, broken in counts.items():
            if size_of(kind, typed) == 0 or broken == 0 or broken > again.interval[1] * again.total:
                continue
            yield (
                f"{kind} {typed}: {name} breaks {broken} of {again.total}, drawing "
                f"the spikes again without any attack {again.correct} of {again.total} "
                f"(up to {again.interval[1]:.1%}): not told apart from chance"
            )


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
