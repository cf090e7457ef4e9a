"""What one evaluation asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from neurorobust.attacks import Attack
from neurorobust.attacks.recipe import STRONGEST, Recipe, first_taking
from neurorobust.evaluation import minimum
from neurorobust.evaluation.jobs import Job, plan, sorted_out


@dataclass(frozen=True)
class Question:
    """Budgets, attacks and seeds, read and checked.

    Attributes:
        budgets: as typed, by kind.
        attacks: names, attacks, or one recipe beside them.
        seed, seeds: the first one, and how many.
        minimum: look for the smallest budget that breaks each sample.
        targeted: attack with a class for each sample that must be reached.
        jobs: all of them; where a recipe has yet to choose a mode, with `strongest` in its place.
        recipe: the one among the attacks.
        control: run a control of the same kind at every budget that is attacked.

    Raises:
        BadInput: see `jobs.plan` and `minimum.check`.
    """

    budgets: Mapping[str, Sequence[str]]
    attacks: tuple[str | Attack | Recipe, ...]
    seed: int
    seeds: int = 1
    minimum: bool = False
    targeted: bool = False
    control: bool = True
    jobs: tuple[Job, ...] = field(init=False)
    recipe: Recipe | None = field(init=False)

    def __post_init__(self) -> None:
        set_ = object.__setattr__  # frozen
        set_(self, "recipe", sorted_out(self.attacks)[0])
        set_(self, "jobs", plan(self.budgets, self.attacks, self.all_seeds, self.control))
        if self.minimum:
            minimum.check(self.jobs)

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """From the first on."""
        return tuple(range(self.seed, self.seed + self.seeds))

    def decided(self, strongest: str) -> Question:
        """With the mode that a recipe chose."""
        chosen = [
            one if one is None or one != self.recipe else one.ready(strongest)
            for one in (self.recipe, *sorted_out(self.attacks)[1])
        ]
        return replace(self, attacks=tuple(one for one in chosen if one is not None))

    @property
    def undecided(self) -> list[Job]:
        """Jobs whose mode the recipe has yet to choose: of each kind the smallest budget first."""
        return [job for job in self.jobs if job.recipe and job.label.endswith(f"+{STRONGEST}")]

    @property
    def targeted_jobs(self) -> tuple[Job, ...]:
        """Attacks with a target, at every budget, from the first seed."""
        if not self.targeted:
            return ()
        found = {
            (job.key, job.label): job
            for job in self.jobs
            if not (job.recipe or job.attack.control or job.again)
        }
        for job in self.jobs:
            if self.recipe is None or not job.recipe or job.again:
                continue
            attack = first_taking(self.recipe.targeted, job.kind, job.budget)
            if attack is not None:
                plain = replace(job, attack=attack, label=attack.name, recipe="")
                found.setdefault((job.key, attack.name), plain)
        return tuple(found.values())


def fitting(
    attacks: Sequence[str | Attack | Recipe], classes: int, followed: bool
) -> tuple[str | Attack | Recipe, ...]:
    """The same attacks, recipes without the members for other networks: see `Recipe.fitting`."""
    recipe, single = sorted_out(attacks)
    return tuple(single) if recipe is None else (recipe.fitting(classes, followed), *single)
