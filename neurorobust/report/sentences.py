"""What a record says, in sentences made from its numbers."""

from __future__ import annotations

from collections.abc import Iterator

from neurorobust.readouts import READOUTS
from neurorobust.records import Card, Comparison, Confirmation, EncoderCard, Minimum, Record
from neurorobust.report.groups import Group, groups
from neurorobust.report.words import (
    Counted,
    backend,
    budget,
    count,
    interval,
    listed,
    p_value,
    percent,
    plural,
)

SIGNIFICANT = 0.05


def verdict(record: Record) -> str:
    """One sentence: right unchanged, right under attack, where it ran, what was confirmed.

    Of several budgets of a kind only the smallest and the largest; the table has the others.
    """
    parts = [
        f"{record.model} answers {count(record.clean.correct)} of {count(record.clean.total)} "
        f"unchanged inputs correctly ({percent(record.clean)}, 95 % interval "
        f"{interval(record.clean)})"
    ]
    survivals = [
        f"{_survival(rate)} {_under(group, typed)}"
        for group in groups(record)
        for typed, rate in (group.rows if len(group.rows) < 3 else (group.rows[0], group.rows[-1]))
    ]
    if survivals:
        parts.append(f"still right after the strongest attack tried on each: {listed(survivals)}")
    parts.append(where(record))
    if record.confirmed is not None:
        parts.append(confirmation(record.confirmed))
    return "; ".join(parts) + "."


def _under(group: Group, typed: str) -> str:
    return group.scale.under.format(group.place(typed))


def _survival(rate: Counted) -> str:
    return f"{percent(rate)} ({interval(rate)})"


def where(record: Record) -> str:
    """Where the answers come from."""
    return f"where it ran: {record.target}"


def confirmation(confirmed: Confirmation) -> str:
    """`32 of 32 replayed inputs were confirmed in Lava's ..., spike for spike`."""
    few, asked = confirmed.replayed != confirmed.requested, count(confirmed.requested)
    if few and confirmed.holds:
        return (
            f"replayed inputs, all {count(confirmed.replayed)} there were ({asked} were asked "
            f"for): confirmed in {backend(confirmed.backend)}, spike for spike"
        )
    note = f" ({asked} were asked for)" if few else ""
    return (
        f"{count(confirmed.identical)} of {count(confirmed.replayed)} replayed inputs{note} "
        f"{'was' if confirmed.replayed == 1 else 'were'} confirmed in "
        f"{backend(confirmed.backend)}, spike for spike"
    )


def redrawn(record: Record) -> str | None:
    """What chance alone changes where the encoder draws; None where it does not."""
    again = record.redraw
    if again is None or record.draws is None:
        return None
    return (
        f"the network draws random spikes at every run; from one draw to another, without any "
        f"attack, it lost {count(again.correct)} of {count(again.total)} right answers "
        f"({percent(again)}, 95 % interval {interval(again)}). So {plural(record.draws, 'draw')} "
        f"selected the worst proposal for each input (the unchanged input is a candidate) and "
        f"{record.draws} other{'' if record.draws == 1 else 's'}, the same for all, scored it: "
        "counts are means over those. Attacks on spikes start from the spikes of one draw"
    )


TRANSFER = (
    "Worst cases count only what was crafted on the deployed network: what carries over from float "
    "is no part of them."
)


def refused(group: Group) -> Iterator[str]:
    """What the evaluation did to proposals that broke the rules, where there were any."""
    for typed, rate in group.rows:
        for name, outcome in rate.by_attack.items():
            if outcome.failed:
                yield (
                    f"{name}, {group.place(typed)}: {plural(outcome.failed, 'proposal')} invalid "
                    "and counted as no success."
                )
            if outcome.projected:
                yield (
                    f"{name}, {group.place(typed)}: {plural(outcome.projected, 'proposal')} "
                    "beyond the budget and projected back into it before scoring."
                )


def explain(comparison: Comparison) -> Iterator[str]:
    """What a 2x2 says, sentence by sentence."""
    rates = {(cell.crafted, cell.scored): cell.success for cell in comparison.cells}
    own, misled = rates.get(("float", "float")), rates.get(("float", "deployed"))
    if own is not None and misled is not None:
        yield (
            f"Inputs crafted against the float network break it {percent(own)} of the time; "
            f"given to the deployed network, the same inputs break that one {percent(misled)} of "
            "the time."
        )
    direct = rates.get(("deployed", "deployed"))
    if direct is not None and misled is not None:
        yield (
            f"An adversary who attacks the deployed network itself reaches {percent(direct)}: "
            + _judged(misled, direct)
        )
    yield (
        f"Rounding to the chip's integers alone, without any attack, changed the answer for "
        f"{count(comparison.flips)} of {count(comparison.clean_deployed.total)} inputs."
    )
    yield paired(comparison)


def paired(comparison: Comparison) -> str:
    """Which network resists better when each is attacked itself, tested in pairs."""
    only_float, only_deployed = comparison.discordant
    return (
        f"{plural(only_float, 'input')} survived only on the float network and "
        f"{count(only_deployed)} only on the deployed one (exact McNemar test, "
        f"{p_value(comparison.mcnemar_p)}): {_tested(comparison)}"
    )


def _judged(misled: Counted, direct: Counted) -> str:
    if misled.interval[1] < direct.interval[0]:
        return "testing with inputs crafted on the float network would overstate its robustness."
    if direct.interval[1] < misled.interval[0]:
        return (
            "less than what carries over, which a direct attack should not; its gradients may be "
            "misleading."
        )
    return "the two intervals overlap, so the counts alone do not tell them apart."


def _tested(comparison: Comparison) -> str:
    only_float, only_deployed = comparison.discordant
    if comparison.mcnemar_p >= SIGNIFICANT:
        return "these counts do not show that one resists better than the other."
    better, worse = ("float", "deployed") if only_float > only_deployed else ("deployed", "float")
    return (
        f"each attacked with full knowledge, the {better} network resists better than the {worse}."
    )


def minimum(group: Group, found: Minimum) -> str:
    """How far from failing the middle input is."""
    tried = f"{found.largest:.4g}"
    broken = (
        f"Of {plural(found.total, 'input')} answered correctly unchanged, {count(found.broken)} "
        f"were broken with budgets up to {tried}"
    )
    if found.median is None:
        return f"{broken}: not half of them, so the median lies beyond ({group.scale.axis})."
    return (
        f"{broken}. The median of the smallest budget that breaks an input is "
        f"{found.median:.4g} ({group.scale.axis}); inputs that nothing broke count as infinitely "
        "far."
    )


def recipe(record: Record) -> str | None:
    """Which recipe was followed, and what it chose."""
    found = record.recipe
    if found is None:
        return None
    text = (
        f"{found.name}: {plural(len(found.members), 'attack')} one after the other, each on the "
        "inputs that survived those before it"
    )
    if found.strongest is None:
        return text
    where = "no samples to choose on" if found.chosen_on is None else f"chosen on {found.chosen_on}"
    return f"{text}; later attacks use the backward mode {found.strongest} ({where})"


def probes(record: Record) -> Iterator[str]:
    """What one setting changes, on a few samples."""
    names = {"width": "surrogate width", "scale": "scale of the logits", "steps": "steps"}
    for probe in record.probes:
        one, other = probe.broken
        yield (
            f"{names[probe.what]}: {probe.settings[0]} breaks {one} and {probe.settings[1]} breaks "
            f"{other} of {probe.total} ({probe.attack}, {budget(probe.kind, probe.budget)})"
        )


def _may(group: Group) -> str:
    sizes = ", ".join(typed for typed, _ in group.rows)
    return group.scale.may.format(sizes)


def encoder(card: EncoderCard) -> str:
    """What the network is fed."""
    return card.code.words(card)


def readout(card: Card) -> str:
    """How an answer is read off."""
    scale = "" if card.logit_scale is None else f" (logits divided by {card.logit_scale:g})"
    return f"the class with the {READOUTS[card.readout].words} is the answer{scale}"


def adversary(record: Record) -> str:
    """The threat model."""
    if not record.attacks:
        return "none: only unchanged inputs were tried"
    may = [_may(group) for group in groups(record)]
    knows = any(record.is_white_box(name) for name in record.attacks)
    access = (
        "Knows the whole network and follows its gradients (white-box)"
        if knows
        else "Does not use the network's gradients"
    )
    return f"{access}. May {', or '.join(may)}." if may else f"{access}."
