"""Gradients turned into spikes by chance: G2S, and RSF where there is no gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.best import Best
from neurorobust.attacks.events.threshold import raised
from neurorobust.attacks.feasible import Feasible, flip
from neurorobust.attacks.gradients import Gradient
from neurorobust.attacks.modes import PLAIN, Mode
from neurorobust.attacks.sample_random import SampleGenerators
from neurorobust.budgets import Budget
from neurorobust.classifier import Classifier
from neurorobust.types import Labels


@dataclass(frozen=True)
class G2S:
    """Entries become what the sign of their gradient says, with probability |g| / max|g|.

    Gradient to spike (G2S): a Bernoulli mask of that probability; where it is 1 and g > 0 the entry
    becomes 1, where g < 0 it becomes 0. The restricted spike flipper (RSF): a sample whose gradient
    is zero everywhere flips each entry with probability `turnover`. The penultimate layer's
    threshold is raised in the gradient pass only.
    Paper: Liang et al., "Exploring adversarial attack in spiking neural networks with
    spike-compatible gradient", IEEE TNNLS 2021 (arXiv:2001.01587): turnover 0.05; they bound the
    mean squared error. Our form: `steps` and `threshold` (the paper tunes it to each network); the
    budget is one on flips, spread over the steps: of what was drawn, flips made before stay first,
    then the most probable; the best iterate is kept.
    Threat model: white-box, a `SpikeBudget`.

    Attributes:
        steps: gradients.
        turnover: probability of a blind flip.
        threshold: factor of the penultimate threshold (1: as it is).
        mode: the backward mode; a plain surrogate where threshold is not 1.
        loss: a name of `objectives.LOSSES`.
    """

    steps: int = 25
    turnover: float = 0.05
    threshold: float = 1.5
    mode: Mode = PLAIN
    loss: str = "margin"
    name = "g2s"
    kind = "flips"
    access = "white-box"
    control = False

    def __call__(
        self,
        classifier: Classifier,
        x: Tensor,
        labels: Labels,
        budget: Budget,
        generator: torch.Generator,
    ) -> Tensor:
        """Propose spikes uint8 `[batch, C, H, W, time]`.

        Raises:
            BadInput: not a spike budget, or a backend without gradients.
        """
        feasible = Feasible.of(self.name, x, budget)
        total = feasible.budget.flips
        if total == 0 or len(x) == 0:
            return x.clone()
        source = self._gradient(classifier).start(classifier)
        generators = SampleGenerators(generator, len(x))
        mask, best = torch.zeros_like(feasible.spikes), Best.start(x)
        steps = min(self.steps, total)
        for step in range(steps):
            now = flip(x, mask)
            gradient, standing = source(now, labels, generator)
            best.update(now, standing)
            drawn, chance = self._drawn(gradient.flatten(1), now.flatten(1), generators)
            wanted = mask ^ drawn
            score = torch.where(mask, 2.0, chance).masked_fill(~wanted, -torch.inf)
            mask = feasible.choose(score, -(-total * (step + 1) // steps))
        last = flip(x, mask)
        best.update(last, source.look(last, labels, generator))
        return best.x

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The gradient of the loss with respect to the spikes, threshold raised."""
        return self._gradient(classifier).start(classifier)(x, labels, generator)[0]

    def _gradient(self, classifier: Classifier) -> Gradient:
        return Gradient(raised(self.mode, classifier, self.threshold), loss=self.loss)

    def _drawn(
        self, gradient: Tensor, now: Tensor, generators: SampleGenerators
    ) -> tuple[Tensor, Tensor]:
        """Entries that change (bool `[batch, entries]`), and with which probability they did."""
        coins = generators.uniform(gradient.shape[1])
        size = gradient.abs()
        most = size.amax(1, keepdim=True)
        blind = most == 0
        chance = torch.where(blind, self.turnover, size / most.clamp_min(1e-38))
        changes = blind | ((gradient > 0) != now.bool()) & (gradient != 0)
        return changes & (coins < chance), torch.where(blind, coins, chance)
