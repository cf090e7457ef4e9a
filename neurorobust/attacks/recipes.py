"""Recipes: fixed, versioned lists of attacks, as data. Survivors of one attack go on to the next.

A recipe never changes after its release: a better one gets another number. Every number in it is a
parameter of the attack as written here, not a default from elsewhere.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from neurorobust.attacks.autoattack import Apgd, FabT
from neurorobust.attacks.base import Attack
from neurorobust.attacks.events.controls import PatchNoise
from neurorobust.attacks.events.g2s import G2S
from neurorobust.attacks.events.patch import UniversalPatch
from neurorobust.attacks.events.retiming import RandomJitter, Retiming
from neurorobust.attacks.events.sda import Sda
from neurorobust.attacks.events.search import FlipSearch, MoveSearch, PatchSearch
from neurorobust.attacks.events.sparse_search import SparseSearch
from neurorobust.attacks.modes import Mode, find_mode, surrogate
from neurorobust.attacks.noise import UniformNoise
from neurorobust.attacks.pgd import Pgd
from neurorobust.attacks.sa_pgd import SaPgd
from neurorobust.attacks.spike_flips import SpikeRandom, SpikeTopK
from neurorobust.attacks.square import Square
from neurorobust.types import Budget, ImageBudget

STRONGEST = "strongest"  # the mode that breaks most validation samples
EVERY = "every"  # one member for each of the recipe's modes


@dataclass(frozen=True)
class Member:
    """One attack of a recipe.

    Attributes:
        attack: with every parameter set.
        mode: its backward mode by name, `EVERY`, `STRONGEST`, or nothing where it has none.
        classes: that a network must have for it.
    """

    attack: Attack
    mode: str = ""
    classes: int = 2

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
        ready = dataclasses.replace(attack, mode=find_mode(self.mode))
        return dataclasses.replace(self, attack=ready)


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

    def fitting(self, classes: int) -> Recipe:
        """Without what needs more classes."""
        kept = [member for member in self.members if member.classes <= classes]
        return dataclasses.replace(self, members=tuple(kept))

    def undecided(self, kind: str) -> bool:
        """Whether the strongest mode must be found first."""
        return any(member.mode == STRONGEST for member in self.of(kind))

    def ready(self, strongest: str = STRONGEST) -> Recipe:
        """With every mode spelled out; without an argument the strongest one is still to come."""
        members = [
            dataclasses.replace(member, mode=mode).ready()
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
        # images
        Member(UniformNoise()),
        *(
            Member(SaPgd(steps=100, restarts=1, draws=10, loss="margin", stop=True), mode)
            for mode in ("assg-0.425", "assg-0.35", "assg-0.465")
        ),
        Member(Apgd("apgd-ce", "ce", steps=100, restarts=1, draws=10, stop=True), EVERY),
        Member(
            Apgd("apgd-t", "dlr-targeted", steps=100, restarts=1, targets=9, draws=10, stop=True),
            STRONGEST,
            classes=4,
        ),
        Member(FabT("fab-t", steps=100, restarts=1, targets=3, draws=10, stop=True), STRONGEST),
        Member(Square("square", queries=5000, share=0.8)),
        # flips of spikes
        Member(SpikeRandom()),
        Member(
            Sda(steps=500, growth=10, excess=4, patience=100, rounds=3, pool=16),
            "fast-sigmoid-0.25",
        ),
        Member(G2S(steps=25, turnover=0.05, threshold=1.5, loss="margin"), "fast-sigmoid-0.25"),
        Member(SparseSearch(queries=1000, fewest=False)),
        # moves of spikes in time
        Member(RandomJitter()),
        Member(Retiming(steps=40, rounds=10, overflow=20.0), "fast-sigmoid-0.25"),
        Member(Retiming(steps=40, rounds=10, overflow=20.0), "straight-through-1"),
    ),
    modes=(
        "fast-sigmoid-0.25",
        "triangle-1",
        "atan-2",
        "sigmoid-1",
        "gaussian-1",
        "straight-through-1",
        "assg-0.425",
        "rga",
        "hart-0.5",
        "pdsg",
        "bptr",
        "rotation",
    ),
    chooser=Apgd("apgd-ce", "ce", steps=25, restarts=1, draws=10, stop=True),
    probe=Pgd(steps=20, reach=2.5, restarts=1, draws=10, loss="ce", stop=True),
    widths=(surrogate("fast-sigmoid", 0.25), surrogate("fast-sigmoid", 1.0)),
    targeted=(
        Pgd("pgd-linf", ("linf",), steps=40, reach=2.5, restarts=1, draws=10, loss="margin"),
        SpikeTopK(rounds=10),
    ),
)

# the modes of the exact searches on spikes, in turn
SEARCHED = tuple(
    find_mode(name)
    for name in (
        "fast-sigmoid-0.25",
        "triangle-1",
        "atan-2",
        "straight-through-1",
        "sigmoid-1",
        "rga",
    )
)

# STANDARD_2, events
EVENTS_2 = (
    # flips of spikes
    Member(SpikeRandom()),
    Member(
        Sda(steps=500, growth=10, excess=4, patience=100, rounds=3, pool=16),
        "fast-sigmoid-0.25",
    ),
    Member(
        FlipSearch(queries=16000, pool=48, drops=3, swaps=32, steps=24, patience=3, modes=SEARCHED)
    ),
    # moves of spikes in time
    Member(RandomJitter()),
    Member(Retiming(steps=40, rounds=10, overflow=20.0), "fast-sigmoid-0.25"),
    Member(Retiming(steps=40, rounds=10, overflow=20.0), "straight-through-1"),
    Member(
        MoveSearch(queries=6000, pool=48, drops=3, swaps=32, steps=24, patience=3, modes=SEARCHED)
    ),
    # patches
    Member(PatchNoise()),
    Member(UniversalPatch(steps=15, places=4), "fast-sigmoid-0.25"),
    Member(
        PatchSearch(
            queries=1500,
            pool=48,
            drops=3,
            swaps=32,
            steps=24,
            patience=3,
            modes=SEARCHED,
            places=4,
        )
    ),
)

RECIPES: dict[str, Recipe] = {STANDARD_1.name: STANDARD_1}
LATEST = {"standard": STANDARD_1.name}


def find_recipe(name: str) -> Recipe | None:
    """A recipe by name (`standard`: the latest version of that one); None: no recipe's name."""
    return RECIPES.get(LATEST.get(name, name))
