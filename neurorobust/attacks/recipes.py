"""Recipes: fixed, versioned lists of attacks, as data. Survivors of one attack go on to the next.

A recipe never changes after its release: a better one gets another number. Every number in it is a
parameter of the attack as written here, not a default from elsewhere.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from neurorobust.attacks.base import Attack
from neurorobust.attacks.modes import Mode, find_mode, surrogate
from neurorobust.attacks.noise import UniformNoise
from neurorobust.attacks.pgd import Pgd
from neurorobust.attacks.sa_pgd import SaPgd
from neurorobust.attacks.spike_flips import SpikeRandom, SpikeTopK
from neurorobust.types import Budget, ImageBudget

STRONGEST = "strongest"  # the mode that breaks most validation samples
EVERY = "every"  # one member for each of the recipe's modes


@dataclass(frozen=True)
class Member:
    """One attack of a recipe.

    Attributes:
        attack: with every parameter set.
        mode: its backward mode by name, `EVERY`, `STRONGEST`, or nothing where it has none.
    """

    attack: Attack
    mode: str = ""

    @property
    def label(self) -> str:
        """`apgd-ce+rga`: its name in records."""
        return f"{self.attack.name}+{self.mode}" if self.mode else self.attack.name

    def takes(self, budget: Budget) -> bool:
        """Whether the attack knows what to do with that norm."""
        norms = getattr(self.attack, "norms", None)
        return norms is None or not isinstance(budget, ImageBudget) or budget.norm in norms

    def ready(self) -> Member:
        """With the mode in the attack, if it is decided.

        Raises:
            BadInput: an unknown mode.
        """
        if self.mode in ("", STRONGEST):
            return self
        attack: Any = self.attack
        return Member(dataclasses.replace(attack, mode=find_mode(self.mode)), self.mode)


@dataclass(frozen=True)
class Recipe:
    """See above.

    Attributes:
        name: with its version.
        members: in the order in which they are run.
        modes: what `EVERY` stands for.
        chooser: run in every mode on validation samples, to find the strongest.
        probe: run on a few samples with one setting changed, to find what success depends on.
        widths: two modes of one shape and two widths, for the probe.
        targeted: run with a target for each sample where that is asked for.
    """

    name: str
    members: tuple[Member, ...]
    modes: tuple[str, ...]
    chooser: Attack
    probe: Attack
    widths: tuple[Mode, Mode]
    targeted: tuple[Attack, ...]

    @property
    def kinds(self) -> str:
        """Kinds of budget that some member takes."""
        return " or ".join(dict.fromkeys(member.attack.kind for member in self.members))

    def of(self, kind: str) -> tuple[Member, ...]:
        """The members for one kind of budget."""
        return tuple(member for member in self.members if member.attack.kind == kind)

    def undecided(self, kind: str) -> bool:
        """Whether the strongest mode must be found first."""
        return any(member.mode == STRONGEST for member in self.of(kind))

    def ready(self, strongest: str = STRONGEST) -> Recipe:
        """With every mode spelled out; without an argument the strongest one is still to come."""
        members = [
            Member(member.attack, mode).ready()
            for member in self.members
            for mode in self._modes(member, strongest)
        ]
        return dataclasses.replace(self, members=tuple(members))

    def _modes(self, member: Member, strongest: str) -> tuple[str, ...]:
        if member.mode == EVERY:
            return self.modes
        return (strongest if member.mode == STRONGEST else member.mode,)


STANDARD_1 = Recipe(
    name="standard-1",
    members=(
        Member(UniformNoise()),
        Member(SaPgd(steps=100, restarts=1, draws=10, loss="margin"), EVERY),
        Member(Pgd(steps=100, reach=2.5, restarts=1, draws=10, loss="ce", stop=True), STRONGEST),
        Member(SpikeRandom()),
        Member(SpikeTopK(rounds=10), EVERY),
    ),
    modes=("fast-sigmoid-0.25", "straight-through-1", "bptr"),
    chooser=Pgd(steps=25, reach=2.5, restarts=1, draws=10, loss="ce", stop=True),
    probe=Pgd(steps=20, reach=2.5, restarts=1, draws=10, loss="ce", stop=True),
    widths=(surrogate("fast-sigmoid", 0.25), surrogate("fast-sigmoid", 1.0)),
    targeted=(Pgd(steps=40, reach=2.5, restarts=1, draws=10, loss="margin", stop=True),),
)

RECIPES: dict[str, Recipe] = {STANDARD_1.name: STANDARD_1}
LATEST = {"standard": STANDARD_1.name}


def find_recipe(name: str) -> Recipe | None:
    """A recipe by name (`standard`: the latest version of that one); None: no recipe's name."""
    return RECIPES.get(LATEST.get(name, name))
