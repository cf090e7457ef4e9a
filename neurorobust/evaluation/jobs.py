"""What is asked: every attack at every budget of its kind, from every seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from neurorobust.attacks import Attack, find
from neurorobust.attacks.recipes import Recipe, find_recipe, is_recipe
from neurorobust.budgets import KINDS, parse, size
from neurorobust.errors import BadInput
from neurorobust.types import Budget


@dataclass(frozen=True)
class Job:
    """One attack at one budget from one seed.

    Attributes:
        kind: of the budget, one of `budgets.KINDS`.
        typed: the budget as the user typed it; the key of the record.
        budget: the same, read.
        attack: what proposes.
        label: its name in records; by default the attack's own.
        recipe: name of the recipe it is a member of, if it sees only what still stands there.
        seed: of everything random in it.
        again: not the first seed; names say which it is.
    """

    kind: str
    typed: str
    budget: Budget
    attack: Attack
    label: str
    recipe: str = ""
    seed: int = 0
    again: bool = False

    @property
    def key(self) -> str:
        """`eps=8/255`: how `samples.npz` names the budget."""
        return f"{self.kind}={self.typed}"

    @property
    def name(self) -> str:
        """`eps=8/255/pgd-linf`: how `samples.npz` names the job."""
        return self._named(self.label)

    @property
    def outcome(self) -> str:
        """Under which name its adversarials are stored: a recipe keeps one for each sample."""
        return self._named(self.recipe or self.label)

    @property
    def value(self) -> float:
        """The budget as a number."""
        return size(self.budget)

    @property
    def domain(self) -> str:
        """`images` or `spikes`: what is perturbed."""
        return KINDS[self.kind]

    def _named(self, label: str) -> str:
        return f"{self.key}/{label}" + (f"@{self.seed}" if self.again else "")


def plan(
    budgets: Mapping[str, Sequence[str]],
    attacks: Sequence[str | Attack | Recipe],
    seeds: Sequence[int] = (0,),
) -> tuple[Job, ...]:
    """All jobs: seeds, kinds and budgets in the order typed, attacks in the order asked.

    Members of a recipe come last, from the smallest budget to the largest.

    Args:
        budgets: as typed, by kind (`budgets.KINDS`).
        attacks: names, attacks or recipes.
        seeds: the first one's jobs have plain names.

    Raises:
        BadInput: an unknown or repeated attack, a bad or repeated budget, an attack without a
            budget, or a budget without an attack.
    """
    recipes, single = _sorted(attacks)
    names = [attack.name for attack in single] + [recipe.name for recipe in recipes]
    _refuse_repeats("attack", names, names)
    if len(recipes) > 1:
        raise BadInput(f"attack {recipes[1].name!r}: one recipe at a time")
    jobs, chained = [], []
    for kind, domain in KINDS.items():
        read = [(text.strip(), parse(kind, text)) for text in budgets.get(kind, ())]
        _refuse_repeats(kind, [budget for _, budget in read], [text for text, _ in read])
        chosen = [attack for attack in single if attack.kind == kind]
        members = [member for recipe in recipes for member in recipe.of(kind)]
        if chosen and not read:
            raise BadInput(f"attack {chosen[0].name!r}: needs a budget, give {kind}")
        if read and not chosen and not members:
            raise BadInput(f"{kind} {read[0][0]!r}: no attack on {domain} was asked for")
        for attack in chosen:
            _refuse_repeats("attack", [attack.name, *(m.label for m in members)], names)
        controls = [member.attack for member in members if member.attack.control]
        for text, budget in read:
            jobs += [Job(kind, text, budget, one, one.name) for one in (*chosen, *controls)]
        for text, budget in sorted(read, key=lambda item: size(item[1])):
            chained += [
                Job(kind, text, budget, member.attack, member.label, recipes[0].name)
                for member in members
                if not member.attack.control and member.takes(budget)
            ]
            if members and not chosen and not (chained and chained[-1].typed == text):
                raise BadInput(f"{kind} {text!r}: nothing in {recipes[0].name} takes that budget")
    if recipes and not chained:
        raise BadInput(f"attack {recipes[0].name!r}: needs a budget, give {recipes[0].kinds}")
    return tuple(
        Job(
            job.kind, job.typed, job.budget, job.attack, job.label, job.recipe, seed, place > 0
        )
        for place, seed in enumerate(seeds)
        for job in (*jobs, *chained)
    )  # fmt: skip
