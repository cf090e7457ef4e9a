"""What the words of a table mean, in sentences; only of words that the table has."""

from __future__ import annotations

from collections.abc import Iterator

from neurorobust.records import Record
from neurorobust.report.groups import Group

WORST = "Worst case: right after every attack tried, with its 95 % interval."
SETTINGS = {  # of attacks
    "mode": (
        "Mode",
        "How an attack's gradient passes a neuron, whose step from silence to a spike has no slope "
        "of its own: the function that stands for it, and its width.",
    ),
    "reach": (
        "Reach",
        "How far the steps of an attack lead in all, as a multiple of the budget; what leaves the "
        "budget is brought back.",
    ),
    "draws": (
        "Draws",
        "Where the network is fed with random spikes: how many random inputs one gradient is "
        "averaged over. Without effect elsewhere.",
    ),
}


def budget(group: Group) -> str:
    """What the budgets of one table are."""
    typed = "+".join(text for text, _ in group.rows)
    parts = [text for word, text in group.scale.parts.items() if f"{word}=" in typed]
    return f"{'; '.join([group.scale.legend, *parts])}."


def control(record: Record, group: Group) -> Iterator[str]:
    """What a control is, where there is one."""
    if any(record.is_control(name) for _, rate in group.rows for name in rate.by_attack):
        yield "Control: blind noise of the same size, which an attack must outdo."


def members(record: Record, group: Group) -> Iterator[str]:
    """What the lines of a recipe say, where there is one."""
    chained = {
        name: outcome
        for _, rate in group.rows
        for name, outcome in rate.by_attack.items()
        if outcome.asked is not None
    }
    if chained:
        yield "-3/40: broke 3 of the 40 samples that had survived."
    if any("+" in name for name in chained):
        yield "After +: the mode, which is the slope that gradients take for that of a spike."


def table(record: Record, groups: list[Group]) -> list[str]:
    """All that the tables of these groups need."""
    found = [WORST, *map(budget, groups)]
    for group in groups:
        found += [*control(record, group), *members(record, group)]
    return list(dict.fromkeys(found))


def settings(record: Record) -> list[tuple[str, str]]:
    """Settings of the attacks that their names do not explain."""
    known = {name for chosen in record.attacks.values() for name in chosen}
    return [words for name, words in SETTINGS.items() if name in known]
