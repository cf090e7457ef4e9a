"""What is asked of a network: one value, from the command line down to the work of a shard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from neurorobust.attacks import Attack, find
from neurorobust.attacks.recipe import STRONGEST, Recipe, first_taking
from neurorobust.attacks.recipes import find_recipe
from neurorobust.budgets import KINDS
from neurorobust.errors import BadInput
from neurorobust.evaluation import minimum
from neurorobust.evaluation.draws import DRAWS
from neurorobust.evaluation.jobs import Job, plan, sorted_out
from neurorobust.support.names import unknown


@dataclass(frozen=True)
class Confirm:
    """`lava:32`: replay so many samples, over all budgets, on that backend."""

    backend: str
    samples: int


@dataclass(frozen=True)
class Request:
    """Everything that is asked; read and checked as it is made, and kept in the record.

    Attributes:
        attacks: names, attacks, or one recipe beside them; none: clean accuracy only.
        budgets: as typed, by kind (`budgets.KINDS`): `{"eps": ["0.1", "8/255"]}`.
        seed: of everything random.
        seeds: so many from `seed` on; every attack is run from each.
        draws: of an encoder that draws: so many select a proposal for each sample, and as many
            others score it; others draw nothing.
        minimum: look for the smallest budget that breaks each sample.
        targeted: attack with a class for each sample that must be reached as well.
        control: run a control of the same kind (`attacks.controls`) at every budget that is
            attacked; without one nothing shows that attacks are stronger than chance.
        confirm: the second backend that replays samples, if any.
        compare_with: the attack that compares the float network with the deployed one, if any.
        jobs: all attacks at all budgets; where a recipe has yet to choose a mode, with `strongest`
            in its place.
        recipe: the one among the attacks.

    Raises:
        BadInput: what contradicts itself; see `jobs.plan` and `minimum.check`.
    """

    attacks: Sequence[str | Attack | Recipe] = ()
    budgets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    seed: int = 0
    seeds: int = 1
    draws: int = DRAWS
    minimum: bool = False
    targeted: bool = False
    control: bool = True
    confirm: Confirm | None = None
    compare_with: str | Attack | None = None
    jobs: tuple[Job, ...] = field(init=False)
    recipe: Recipe | None = field(init=False)

    def __post_init__(self) -> None:
        for name in ("seeds", "draws"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} {getattr(self, name)}: below 1")
        for kind in self.budgets:
            if kind not in KINDS:
                raise BadInput(unknown("budget", kind, KINDS))
        set_ = object.__setattr__  # frozen
        set_(self, "attacks", tuple(self.attacks))
        set_(self, "budgets", {kind: tuple(texts) for kind, texts in self.budgets.items() if texts})
        set_(self, "recipe", sorted_out(self.attacks)[0])
        set_(self, "jobs", plan(self.budgets, self.attacks, self.all_seeds, self.control))
        if self.minimum:
            minimum.check(self.jobs)

    def plain(self) -> dict[str, Any]:
        """What was asked as JSON values, for the record: attacks and recipes by name."""
        asked = {one.name: getattr(self, one.name) for one in fields(self) if one.init}
        return asked | {
            "attacks": [_name(one) for one in self.attacks],
            "budgets": {kind: list(texts) for kind, texts in self.budgets.items()},
            "confirm": None if self.confirm is None else asdict(self.confirm),
            "compare_with": None if self.compare_with is None else _name(self.compare_with),
        }

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """From the first on."""
        return tuple(range(self.seed, self.seed + self.seeds))

    @property
    def compared(self) -> Attack | None:
        """The attack of `compare_with`.

        Raises:
            BadInput: an unknown attack.
        """
        asked = self.compare_with
        return find(asked) if isinstance(asked, str) else asked

    def fitting(self, classes: int, followed: bool) -> Request:
        """A recipe without the members that are for other networks: see `Recipe.fitting`."""
        if self.recipe is None:
            return self
        return self._with(self.recipe.fitting(classes, followed))

    def decided(self, strongest: str) -> Request:
        """With the mode that a recipe chose."""
        assert self.recipe is not None, "only a recipe chooses a mode"
        return self._with(self.recipe.ready(strongest))

    def _with(self, recipe: Recipe) -> Request:
        """Another recipe in the place of its own."""
        return replace(self, attacks=[recipe if _is_recipe(one) else one for one in self.attacks])

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


def _is_recipe(asked: str | Attack | Recipe) -> bool:
    return isinstance(asked, Recipe) or (isinstance(asked, str) and find_recipe(asked) is not None)


def _name(asked: str | Attack | Recipe) -> str:
    """As records name it: of a recipe with its version."""
    named = (find_recipe(asked) or asked) if isinstance(asked, str) else asked
    return named if isinstance(named, str) else named.name
