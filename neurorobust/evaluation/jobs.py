"""What is asked: every attack at every budget of its kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neurorobust.attacks import Attack, find
from neurorobust.budgets import parse_epsilon, parse_flips
from neurorobust.errors import BadInput
from neurorobust.types import Budget, ImageBudget, SpikeBudget

KINDS = {"eps": "images", "flips": "spikes"}  # budgets, and the domain of the attacks they bound


@dataclass(frozen=True)
class Job:
    """One attack at one budget.

    Attributes:
        kind: `eps` or `flips`.
        typed: the budget as the user typed it; the key of the record.
        value: the same as a number.
        attack: what proposes.
    """

    kind: str
    typed: str
    value: float
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
    def budget(self) -> Budget:
        """The budget the attack is given."""
        return ImageBudget(self.value) if self.kind == "eps" else SpikeBudget(int(self.value))


def plan(
    epsilons: Sequence[str], flips: Sequence[str], attacks: Sequence[str | Attack]
) -> tuple[Job, ...]:
    """All jobs, budgets in the order typed, attacks in the order asked.

    Raises:
        BadInput: an unknown or repeated attack, a bad or repeated budget, an attack without a
            budget, or a budget without an attack.
    """
    found = [find(attack) if isinstance(attack, str) else attack for attack in attacks]
    _refuse_repeats("attack", [attack.name for attack in found])
    budgets: dict[str, list[tuple[str, float]]] = {
        "eps": [(text.strip(), parse_epsilon(text)) for text in epsilons],
        "flips": [(text.strip(), float(parse_flips(text))) for text in flips],
    }
    jobs = []
    for kind, domain in KINDS.items():
        _refuse_repeats(kind, [value for _, value in budgets[kind]])
        chosen = [attack for attack in found if attack.domain == domain]
        if chosen and not budgets[kind]:
            raise BadInput(f"attack {chosen[0].name!r}: needs a budget, give {kind}")
        if budgets[kind] and not chosen:
            raise BadInput(f"{kind} {budgets[kind][0][0]!r}: no attack on {domain} was asked for")
        jobs += [Job(kind, text, value, a) for text, value in budgets[kind] for a in chosen]
    return tuple(jobs)


def _refuse_repeats(what: str, values: Sequence[str | float]) -> None:
    for place, value in enumerate(values):
        if value in values[:place]:
            raise BadInput(f"{what} {value!r}: given twice")
