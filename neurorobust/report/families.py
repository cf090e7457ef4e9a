"""What the page shows of each kind of budget: a table, curves, notes, smallest budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from neurorobust.records import Record
from neurorobust.report import figures, legend, sentences, words
from neurorobust.report.groups import Group, groups

SIZES = (("wide", 800, 380), ("phone", 360, 300))
FEW_LINES = 12  # outcomes of attacks that are shown without being asked for


@dataclass(frozen=True)
class Family:
    """One group of budgets with its results."""

    group: Group
    attacks: list[str]  # that saw every sample: members of a recipe are in the worst case
    words: list[str]  # what stands in the table, explained
    controlled: bool  # whether one of the attacks is a control
    notes: list[str]
    seeds: list[str]
    curve: dict[str, Markup]
    legend: list[tuple[str, Markup]]

    @property
    def open(self) -> bool:
        """Whether every attack's outcome is shown at once."""
        return sum(len(rate.by_attack) for _, rate in self.group.rows) <= FEW_LINES


@dataclass(frozen=True)
class Smallest:
    """The smallest budgets found of one kind."""

    symbol: str
    text: str
    curve: dict[str, Markup]


def families(record: Record) -> list[Family]:
    """The groups of budgets that were tried."""
    found = []
    for group in groups(record):
        rates = [rate for _, rate in group.rows]
        attacks = list(
            dict.fromkeys(
                name
                for rate in rates
                for name, outcome in rate.by_attack.items()
                if outcome.asked is None
            )
        )
        lines = _lines(record, group, attacks)
        found.append(
            Family(
                group=group,
                attacks=attacks,
                words=[legend.budget(group), *legend.members(record, group)],
                controlled=any(map(record.is_control, attacks)),
                notes=list(sentences.refused(group)),
                seeds=list(dict.fromkeys(seed for rate in rates for seed in rate.by_seed)),
                curve=_curves(lines, group),
                legend=figures.legend(lines, f"{group.kind.name} {group.scale.name}"),
            )
        )
    return found


def _lines(record: Record, group: Group, attacks: list[str]) -> list[figures.Line]:
    """Every curve; the worst case first: broad, it lies under the attack that it equals."""
    sources: list[tuple[str, str, Sequence[tuple[str, words.Counted]]]] = [
        ("worst case", "worst", list(group.rows))
    ]
    for name in attacks:
        role = "control" if record.is_control(name) else "attack"
        tried = [
            (typed, rate.by_attack[name]) for typed, rate in group.rows if name in rate.by_attack
        ]
        sources.append((name, role, tried))
    sizes = {typed: rate.budget.size for typed, rate in group.rows}
    lines = []
    for name, role, points in sources:
        steps = [(x, rate) for typed, rate in points if (x := sizes[typed]) > 0]
        rates: list[words.Counted] = [record.clean, *(rate for _, rate in steps)]
        lines.append(
            figures.Line(
                name=words.attack(record, name),
                role=role,
                x=[0.0, *(x for x, _ in steps)],
                y=[rate.correct / rate.total if rate.total else 0.0 for rate in rates],
                low=[rate.interval[0] for rate in rates],
                high=[rate.interval[1] for rate in rates],
            )
        )
    return lines


def _curves(lines: list[figures.Line], group: Group) -> dict[str, Markup]:
    """A wide and a narrow drawing of the same curve; empty where no budgets above 0 can be drawn.

    Budgets of equal size (of shifts, say) have no place of their own on the axis.
    """
    sizes = [(typed, rate.budget.size) for typed, rate in group.rows if rate.budget.size > 0]
    places = [0.0, *(size for _, size in sizes)]
    ticks = ["0", *(typed for typed, _ in sizes)]
    if len(ticks) < 2 or len(set(places)) < len(places):
        return {}
    told = ", ".join(f"{words.percent(rate)} at {typed}" for typed, rate in group.rows)
    label = f"Accuracy over {group.scale.axis}. Worst case: {told}."
    return {
        name: figures.curve(lines, ticks, group.scale.axis, label, width=width, height=height)
        for name, width, height in SIZES
    }


def minima(record: Record) -> list[Smallest]:
    """How far the inputs are from failing, by kind of budget."""
    found = []
    for group in groups(record):
        minimum = record.minimum.get(group.kind.name)
        if minimum is None or not minimum.total:
            continue
        text = sentences.minimum(group, minimum)
        curve = {
            name: figures.stairs(
                minimum.steps, minimum.total, minimum.largest, group.scale.axis, text,
                width=width, height=height,
            )
            for name, width, height in SIZES
        }  # fmt: skip
        found.append(Smallest(group.scale.symbol, text, curve))
    return found


__all__ = ["Family", "Smallest", "families", "minima"]
