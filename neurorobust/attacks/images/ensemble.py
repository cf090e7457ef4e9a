"""One attack in several backward modes: the worst case of each sample."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from neurorobust.attacks import norms
from neurorobust.attacks.base import GradientAttack
from neurorobust.attacks.best import Best
from neurorobust.attacks.gradients import Gradient
from neurorobust.attacks.images.pgd import Pgd
from neurorobust.attacks.modes import Mode, find_mode
from neurorobust.attacks.objectives import mean_standing
from neurorobust.budgets import NORMS, Budget
from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput
from neurorobust.types import Labels

MEMBERS = (  # narrow, wide, adaptive and rate-based beliefs; the cheapest first
    "fast-sigmoid-0.25",
    "triangle-1",
    "atan-2",
    "straight-through-1",
    "bptr",
    "assg-0.425",
    "rga",
)


@dataclass(frozen=True)
class Ensemble:
    """Runs an attack once in every mode; each sample keeps its worst.

    A surrogate that fits one network badly shows as a robust network; several seldom all do. What
    one mode broke is not attacked in the next ones, unless the encoder is random.
    Paper: surrogate ensembles as in robust SNN conversion (TMLR 2024): worst case a sample.
    Threat model: that of the attack, in each of the modes.

    Attributes:
        name: on the command line and in records.
        attack: with a field `mode`; on images.
        modes: in this order.
        draws: of every member, see there.

    Raises:
        BadInput: no mode, or an attack without one.
    """

    name: str = "ensemble"
    attack: Any = field(
        default_factory=lambda: Pgd("pgd", NORMS, steps=20, stop=True),
    )
    modes: tuple[Mode, ...] = field(
        default_factory=lambda: tuple(find_mode(name) for name in MEMBERS)
    )
    draws: int = 10
    kind = "eps"
    access = "white-box"
    control = False

    def __post_init__(self) -> None:
        if not self.modes:
            raise BadInput(f"{self.name}: no backward mode given")
        if not isinstance(self.attack, GradientAttack) or not hasattr(self.attack, "mode"):
            raise BadInput(f"{self.name}: {self.attack.name} has no backward mode to choose")

    @property
    def norms(self) -> tuple[str, ...]:
        """Those of the attack."""
        taken: tuple[str, ...] = self.attack.norms
        return taken

    @property
    def may_return_x(self) -> bool:
        """That of the attack."""
        return bool(getattr(self.attack, "may_return_x", False))

    def __call__(
        self,
        classifier: Classifier,
        x: Tensor,
        labels: Labels,
        budget: Budget,
        generator: torch.Generator,
    ) -> Tensor:
        """Propose images `[batch, C, H, W]`, float32 in [0, 1].

        Raises:
            BadInput: as the attack.
        """
        budget = norms.image_budget(self.name, budget, self.norms)
        if budget.epsilon == 0:
            return x.clone()
        random, best = classifier.encoder.random, Best.start(x)
        draws = self.draws if random else 1
        for mode in self.modes:
            rows = torch.arange(len(x), device=x.device)
            if not random:
                rows = rows[best.standing.broken < 1]
            if not len(rows):
                break
            member = replace(self.attack, mode=mode, draws=self.draws)
            found = member(classifier, x[rows], labels[rows], budget, generator)
            standing = mean_standing(classifier, found, labels[rows], generator, draws)
            best.update(found, standing, rows)
        return best.x

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The sum of the gradients of all modes, each over its own largest entry.

        Zero only where it is zero in every mode.
        """
        total = torch.zeros_like(x, dtype=torch.float32)
        for mode in self.modes:
            source = Gradient(mode, self.draws).start(classifier)
            one = source(x, labels, generator)[0]
            peak = one.abs().amax((1, 2, 3), keepdim=True)
            total += one.abs() / torch.where(peak > 0, peak, 1)
        return total
