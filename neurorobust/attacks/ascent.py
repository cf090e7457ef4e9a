"""The loop that all gradient attacks on images share: start, step, keep the best, drop the broken.

What a step is varies (`Rule`), what a norm is too (`norms`), and where gradients come from
(`gradients`); the loop does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from neurorobust.attacks import norms
from neurorobust.attacks.best import Best
from neurorobust.attacks.gradients import Gradient, GradientSource
from neurorobust.budgets import ImageBudget
from neurorobust.classifier import Classifier
from neurorobust.types import Labels


class Rule(Protocol):
    """How one attack steps, on one batch; it may remember."""

    def __call__(self, z: Tensor, x: Tensor, gradient: Tensor) -> Tensor:
        """The point after z, inside the budget around x."""
        ...

    def keep(self, rows: Tensor) -> None:
        """From now on only these samples (int64 indices, in this order) are in the batch."""
        ...


@dataclass(frozen=True)
class Ascent:
    """One search.

    Attributes:
        gradient: where gradients come from.
        steps: gradients a restart.
        rule: makes the rule of one restart.
        restarts: random starts, the first included; where `random_start` is False the first one is
            x itself.
        random_start: see there.
        stretch: random starts touch the border, see `norms.start`.
        stop: leave a sample alone as soon as it is misclassified. Only where the encoder is not
            random: elsewhere one success says little.
    """

    gradient: Gradient
    steps: int
    rule: Callable[[], Rule]
    restarts: int = 1
    random_start: bool = True
    stretch: bool = False
    stop: bool = False

    def run(
        self,
        classifier: Classifier,
        x: Tensor,
        labels: Labels,
        budget: ImageBudget,
        generator: torch.Generator,
    ) -> Best:
        """The best point of each sample: a success at any iterate is kept.

        Random starts are drawn for the whole batch, whoever still needs one: a sample's search does
        not depend on how the others fare.
        """
        best = Best.start(x)
        stop = self.stop and not classifier.encoder.random
        for restart in range(self.restarts):
            begin = x
            if self.random_start or restart:
                begin = norms.start(x, budget, generator, self.stretch)
            rows = torch.arange(len(x), device=x.device)
            if stop:
                rows = rows[best.standing.broken[rows] < 1]
            if len(rows):
                source = self.gradient.start(classifier)
                self._climb(source, begin[rows], x, labels, rows, best, generator, stop)
        return best

    def climb(
        self,
        classifier: Classifier,
        begin: Tensor,
        x: Tensor,
        labels: Labels,
        rows: Tensor,
        generator: torch.Generator,
    ) -> Best:
        """One search of the samples `rows` from given points `[batch, C, H, W]`."""
        best, source = Best.start(x), self.gradient.start(classifier)
        stop = self.stop and not classifier.encoder.random
        self._climb(source, begin[rows], x, labels, rows, best, generator, stop)
        return best

    def _climb(
        self,
        source: GradientSource,
        z: Tensor,
        x: Tensor,
        labels: Labels,
        rows: Tensor,
        best: Best,
        generator: torch.Generator,
        stop: bool,
    ) -> None:
        rule = self.rule()
        for _ in range(self.steps):
            gradient, standing = source(z, labels[rows], generator)
            best.update(z, standing, rows)
            if stop and bool((standing.broken >= 1).any()):
                left = (standing.broken < 1).nonzero().flatten()
                if not len(left):
                    return
                source.keep(left)
                rule.keep(left)
                rows, z, gradient = rows[left], z[left], gradient[left]
            z = rule(z, x[rows], gradient)
        best.update(z, source.look(z, labels[rows], generator), rows)


@dataclass
class Steady:
    """Steps of one size along the gradient, or along its decaying sum.

        g <- decay * g + gradient / |gradient|_1        (decay above 0: momentum)

    Attributes:
        budget: of the attack.
        size: of a step, in the budget's units.
        decay: of the momentum; 0: none.
    """

    budget: ImageBudget
    size: float
    decay: float = 0.0
    sum: Tensor | None = None

    def __call__(self, z: Tensor, x: Tensor, gradient: Tensor) -> Tensor:
        """See `Rule`."""
        direction = gradient
        if self.decay:
            scale = gradient.abs().flatten(1).sum(1).view(-1, 1, 1, 1)
            direction = gradient / torch.where(scale > 0, scale, 1)
            if self.sum is not None:
                direction = direction + self.decay * self.sum
            self.sum = direction
        return norms.ascend(z, x, direction, self.size, self.budget)

    def keep(self, rows: Tensor) -> None:
        """See `Rule`."""
        if self.sum is not None:
            self.sum = self.sum[rows]
