"""One perturbation for many samples: sparse flips.

Crafted and scored on other samples: the batch is cut into its even and its odd places, what was
crafted on one half is applied to the other (cross-fitting). So every sample is attacked by what
never saw it, as an adversary would who only has other data of the same kind. What a sample gets
depends on the other half of its batch; a batch of one is returned as it is, and counts as a
failure. Evaluations attack shards of 64: each perturbation was crafted on 32 samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.feasible import Feasible, flip
from neurorobust.attacks.gradients import Gradient
from neurorobust.attacks.modes import PLAIN, Mode
from neurorobust.budgets import Budget
from neurorobust.classifier import Classifier
from neurorobust.types import Labels


def halves(samples: int) -> list[tuple[Tensor, Tensor]]:
    """Which samples it is crafted on, and which it is applied to: int64 indices, twice."""
    if samples < 2:
        return []
    even, odd = torch.arange(0, samples, 2), torch.arange(1, samples, 2)
    return [(even, odd), (odd, even)]


@dataclass(frozen=True)
class UniversalSparse:
    """The same entries set or cleared in every sample, chosen by gradients averaged over others.

    A perturbation is a value for some entries (1: insert, 0: delete). In each round the entries
    with the largest |mean of g| over the unbroken samples it is crafted on are added, of these
    those that change something in at least one of them; the round that breaks most of them (of
    several the one with the largest mean margin) is kept. On the other half each sample then makes
    those of the changes that concern it, inside its own budget.
    Paper: universal perturbations of spike data in Büchel et al., Frontiers in Neuroscience 16
    (2022), there by accumulating SpikeFool over samples; our form averages gradients.
    Threat model: white-box and other samples with labels, a `SpikeBudget` a sample. See the module.

    Attributes:
        rounds: gradients.
        mode: the backward mode.
    """

    rounds: int = 10
    mode: Mode = PLAIN
    name = "universal-sparse"
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
        found = x.clone()
        if feasible.budget.flips == 0:
            return found
        for own, other in halves(len(x)):
            score = self._craft(classifier, x[own], labels[own], feasible.rows(own), generator)
            found[other] = flip(x[other], applied(feasible.rows(other), score))
        return found

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The gradient of the normalised margin with respect to the spikes."""
        return Gradient(self.mode).start(classifier)(x, labels, generator)[0]

    def _craft(
        self,
        classifier: Classifier,
        x: Tensor,
        labels: Labels,
        feasible: Feasible,
        generator: torch.Generator,
    ) -> Tensor:
        """Scores `[entries]`: above 0 to be set, below 0 to be cleared, the largest size first."""
        source, total = Gradient(self.mode).start(classifier), torch.zeros(x.shape[1:].numel())
        best, record = total, (-1.0, -torch.inf)
        for _ in range(self.rounds + 1):
            now = flip(x, applied(feasible, total))
            gradient, standing = source(now, labels, generator)
            reached = (float(standing.broken.mean()), float(standing.margin.mean()))
            if reached > record:
                best, record = total, reached
            right = standing.broken == 0
            if not bool(right.any()):
                break
            mean = gradient.flatten(1)[right].mean(0)
            total = total + mean / mean.abs().amax().clamp_min(1e-38)
        return best


def applied(feasible: Feasible, score: Tensor) -> Tensor:
    """The flips by which each sample follows a universal score, the largest first, in budget."""
    useful = torch.where(feasible.spikes, -score, score)
    return feasible.choose(useful.masked_fill(useful <= 0, -torch.inf))
