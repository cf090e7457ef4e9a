"""What a recipe is: a versioned list of attacks. Survivors of one attack go on to the next."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from neurorobust.attacks.base import Attack, takes
from neurorobust.attacks.modes import Mode, find_mode
from neurorobust.budgets import Budget

STRONGEST = "strongest"  # the mode that breaks most validation samples
EVERY = "every"  # one member for each of the recipe's modes


def first_taking(attacks: Sequence[Attack], kind: str, budget: Budget) -> Attack | None:
    """The first of the attacks that takes the budget; None: no one does."""
    return next(
        (attack for attack in attacks if attack.kind == kind and takes(attack, budget)), None
    )


@dataclass(frozen=True)
class Member:
    """One attack of a recipe.

    Attributes:
        attack: with every parameter set.
        mode: its backward mode by name, `EVERY`, `STRONGEST`, or nothing where it has none.
        classes: that a network must have for it.
        followed: True: only for networks that can be followed neuron by neuron
            (`annealing.follow`); False: only for the others; None: for all.
        norms: only these, of the norms that the attack takes; None: all of them.
    """

    attack: Attack
    mode: str = ""
    classes: int = 2
    followed: bool | None = None
    norms: tuple[str, ...] | None = None

    @property
    def label(self) -> str:
        """`apgd-ce+rga`: its name in records."""
        return f"{self.attack.name}+{self.mode}" if self.mode else self.attack.name

    def takes(self, budget: Budget) -> bool:
        """Whether the attack knows what to do with that norm, and is asked to."""
        if self.norms is not None and getattr(budget, "norm", None) not in self.norms:
            return False
        return takes(self.attack, budget)

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
        choosers: run in every mode on validation samples, to find the strongest; of these and of
            the next two the first one that takes a budget is used for it.
        probes: run on a few samples with one setting changed, to find what success depends on.
        targeted: run with a target for each sample where that is asked for.
        widths: two modes of one shape and two widths, for the probes.
    """

    name: str
    members: tuple[Member, ...]
    modes: tuple[str, ...]
    choosers: tuple[Attack, ...]
    probes: tuple[Attack, ...]
    targeted: tuple[Attack, ...]
    widths: tuple[Mode, Mode]

    @property
    def kinds(self) -> str:
        """Kinds of budget that some member takes."""
        return " or ".join(dict.fromkeys(member.attack.kind for member in self.members))

    def of(self, kind: str) -> tuple[Member, ...]:
        """The members for one kind of budget."""
        return tuple(member for member in self.members if member.attack.kind == kind)

    def fitting(self, classes: int, followed: bool) -> Recipe:
        """Without what needs more classes, or another network.

        Args:
            classes: of the network.
            followed: whether it can be followed neuron by neuron.
        """
        kept = [
            member
            for member in self.members
            if member.classes <= classes and member.followed in (None, followed)
        ]
        return dataclasses.replace(self, members=tuple(kept))

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
