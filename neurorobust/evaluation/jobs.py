"""What is asked: every attack at every budget of its kind, from every seed."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from neurorobust.attacks import Attack, find
from neurorobust.attacks.base import takes
from neurorobust.attacks.controls import control_of
from neurorobust.attacks.recipe import Member, Recipe
from neurorobust.attacks.recipes import find_recipe
from neurorobust.budgets import KINDS, Budget, ImageBudget, parse
from neurorobust.errors import BadInput


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
        return self.budget.size

    @property
    def domain(self) -> str:
        """`images` or `spikes`: what is perturbed."""
        return KINDS[self.kind].domain

    def _named(self, label: str) -> str:
        return f"{self.key}/{label}" + (f"@{self.seed}" if self.again else "")


def plan(
    budgets: Mapping[str, Sequence[str]],
    attacks: Sequence[str | Attack | Recipe],
    seeds: Sequence[int] = (0,),
    control: bool = True,
) -> tuple[Job, ...]:
    """All jobs: seeds, kinds and budgets in the order typed, attacks in the order asked.

    The control that is run beside them comes first, members of a recipe come last, from the
    smallest budget to the largest.

    Args:
        budgets: as typed, by kind (`budgets.KINDS`).
        attacks: names, attacks or recipes.
        seeds: the first one's jobs have plain names.
        control: run a control of the same kind at every budget that is attacked.

    Raises:
        BadInput: an unknown or repeated attack, a bad or repeated budget, an attack without a
            budget, a budget without an attack, or an attack at a norm that it does not take.
    """
    recipe, single = sorted_out(attacks)
    names = [attack.name for attack in single]
    _refuse_repeats("attack", names, names)
    jobs: list[Job] = []
    chained: list[Job] = []
    for kind, domain in ((kind.name, kind.domain) for kind in KINDS.values()):
        read = [(text.strip(), parse(kind, text)) for text in budgets.get(kind, ())]
        _refuse_repeats(kind, [budget for _, budget in read], [text for text, _ in read])
        members = () if recipe is None else recipe.of(kind)
        chosen = [attack for attack in single if attack.kind == kind]
        if chosen and not read:
            raise BadInput(f"attack {chosen[0].name!r}: needs a budget, give {_typed(kind)}")
        if read and not chosen and not members:
            raise BadInput(
                f"--{kind} {read[0][0]}: no attack on {domain} was asked for, give for example "
                f"--attacks {KINDS[kind].attack}; `neurorobust attacks` lists all"
            )
        if control:
            chosen = [*_unasked_control(kind, chosen, members), *chosen]
        for (text, budget), attack in itertools.product(read, chosen):
            _refuse_norms(attack, text, budget)
        for text, budget in read:
            jobs += [Job(kind, text, budget, attack, attack.name) for attack in chosen]
        for text, budget in sorted(read, key=lambda item: item[1].size):
            takers = [one for one in members if one.takes(budget) and not one.attack.control]
            if recipe is not None and members and not takers:
                raise BadInput(f"{kind} {text!r}: no attack of {recipe.name} takes that budget")
            name = "" if recipe is None else recipe.name
            chained += [Job(kind, text, budget, one.attack, one.label, name) for one in takers]
    if recipe is not None and not chained:
        kinds = dict.fromkeys(member.attack.kind for member in recipe.members)
        asked = " or ".join(_typed(kind) for kind in kinds)
        raise BadInput(f"attack {recipe.name!r}: needs a budget, give {asked}")
    return tuple(
        replace(job, seed=seed, again=place > 0)
        for place, seed in enumerate(seeds)
        for job in (*jobs, *chained)
    )


def _unasked_control(
    kind: str, chosen: Sequence[Attack], members: Sequence[Member]
) -> list[Attack]:
    """The control that attacks on a kind of budget need; none where it is asked for already."""
    if not members and all(attack.control for attack in chosen):
        return []
    own = [member.attack for member in members if member.attack.control] or [control_of(kind)]
    names = [attack.name for attack in chosen]
    return [attack for attack in own if attack.name not in names]


def _typed(kind: str) -> str:
    """`--eps 0.1`."""
    return f"--{kind} {KINDS[kind].examples[0]}"


def sorted_out(attacks: Sequence[str | Attack | Recipe]) -> tuple[Recipe | None, list[Attack]]:
    """The recipe among them, its modes spelled out, and all others.

    Raises:
        BadInput: an unknown attack, or two recipes.
    """
    recipe: Recipe | None = None
    single: list[Attack] = []
    for asked in attacks:
        named = (find_recipe(asked) or find(asked)) if isinstance(asked, str) else asked
        if not isinstance(named, Recipe):
            single.append(named)
        elif recipe is None:
            recipe = named.ready()
        else:
            raise BadInput(f"attack {named.name!r}: one recipe at a time, not {recipe.name} too")
    return recipe, single


def _refuse_norms(attack: Attack, text: str, budget: Budget) -> None:
    if isinstance(budget, ImageBudget) and not takes(attack, budget):
        norms: Any = attack
        raise BadInput(
            f"attack {attack.name!r}: eps {text!r} is of norm {budget.norm}, it takes "
            f"{', '.join(norms.norms)}; evaluate that budget apart"
        )


def _refuse_repeats(what: str, values: Sequence[object], typed: Sequence[str]) -> None:
    for place, value in enumerate(values):
        if value in values[:place]:
            raise BadInput(f"{what} {typed[place]!r}: given twice")
