"""What is asked: every attack at every budget of its kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from neurorobust.attacks import Attack, find
from neurorobust.budgets import KINDS, parse, size
from neurorobust.errors import BadInput
from neurorobust.types import Budget


@dataclass(frozen=True)
class Job:
    """One attack at one budget.

    Attributes:
        kind: of the budget, one of `budgets.KINDS`.
        typed: the budget as the user typed it; the key of the record.
        budget: the same, read.
        attack: what proposes.
    """

    kind: str
    typed: str
    budget: Budget
    attack: Attack

    @property
    def key(self) -> str:
        """`eps=8/255`: how `samples.npz` names the budget."""
        return f"{self.kind}={self.typed}"

    @property
    def name(self) -> str:
        """`eps=8/255/pgd-linf`: how `samples.npz` names the job."""
        return f"{self.key}/{self.attack.name}"

    @property
    def value(self) -> float:
        """The budget as a number."""
        return size(self.budget)

    @property
    def domain(self) -> str:
        """`images` or `spikes`: what is perturbed."""
        return KINDS[self.kind]


def plan(budgets: Mapping[str, Sequence[str]], attacks: Sequence[str | Attack]) -> tuple[Job, ...]:
    """All jobs, budgets in the order typed, attacks in the order asked.

    Args:
        budgets: as typed, by kind (`budgets.KINDS`).
        attacks: names or attacks.

    Raises:
        BadInput: an unknown or repeated attack, a bad or repeated budget, an attack without a
            budget, or a budget without an attack.
    """
    found = [find(attack) if isinstance(attack, str) else attack for attack in attacks]
    names = [attack.name for attack in found]
    _refuse_repeats("attack", names, names)
    jobs = []
    for kind, domain in KINDS.items():
        read = [(text.strip(), parse(kind, text)) for text in budgets.get(kind, ())]
        _refuse_repeats(kind, [budget for _, budget in read], [text for text, _ in read])
        chosen = [attack for attack in found if attack.kind == kind]
        if chosen and not read:
            raise BadInput(f"attack {chosen[0].name!r}: needs a budget, give {kind}")
        if read and not chosen:
            raise BadInput(f"{kind} {read[0][0]!r}: no attack on {domain} was asked for")
        jobs += [Job(kind, text, budget, attack) for text, budget in read for attack in chosen]
    return tuple(jobs)


def _refuse_repeats(what: str, values: Sequence[object], typed: Sequence[str]) -> None:
    for place, value in enumerate(values):
        if value in values[:place]:
            raise BadInput(f"{what} {typed[place]!r}: given twice")
