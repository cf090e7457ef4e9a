"""Flips of single input spikes within an L0 budget: by gradient, and at random (the control)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.best import Best
from neurorobust.attacks.gradients import Gradient
from neurorobust.attacks.modes import PLAIN, Mode
from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput
from neurorobust.types import Budget, Labels, SpikeBudget


@dataclass(frozen=True)
class SpikeTopK:
    """Greedy flips: in each round the flips that promise most by the gradient g of the margin.

    The only feasible change of a binary entry s is d = 1 - 2 s; its promise is d * g, exact to
    first order. The budget is spread over rounds, each with a fresh gradient. A flip that promises
    nothing (d * g <= 0) is never made: a sample whose gradient is zero everywhere stays as it is
    and counts as not broken. Ties go to the lowest position. The round that is misclassified (of
    several the one with the largest margin) is returned, each sample its own.
    Paper: none; the greedy top-k of sparse attacks (Modas et al., SparseFool, CVPR 2019; on spikes
    Büchel et al., Frontiers in Neuroscience 16, 2022) without their line searches.
    Threat model: white-box, at most `flips` entries of the binary `[batch, C, H, W, time]`.

    Attributes:
        rounds: gradients computed, at most one a flip.
        mode: the backward mode.
    """

    rounds: int = 10
    mode: Mode = PLAIN
    name = "spike-topk"
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
        total = _flips(self.name, budget)
        current, best = x.clone(), Best.start(x)
        flipped = torch.zeros_like(x, dtype=torch.bool).flatten(1)
        rounds = min(self.rounds, total)
        source = Gradient(self.mode).start(classifier)
        for done in range(rounds):
            gradient, standing = source(current, labels, generator)
            best.show(current, standing)
            promise = ((1 - 2 * current.to(torch.float32)) * gradient).flatten(1)
            promise.masked_fill_(flipped, 0)
            quota = total * (done + 1) // rounds - total * done // rounds
            chosen = _largest(promise, quota) & (promise > 0)
            flipped |= chosen
            current = torch.where(chosen.view(x.shape), 1 - current, current)
        best.show(current, source.look(current, labels, generator))
        return best.x

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The gradient of the normalised margin with respect to the spikes."""
        return Gradient(self.mode).start(classifier)(x, labels, generator)[0]


@dataclass(frozen=True)
class SpikeRandom:
    """Exactly `flips` distinct entries, chosen uniformly, each sample its own: the control.

    Threat model: no access, no queries, at most `flips` entries of the binary input.
    """

    name = "spike-random"
    kind = "flips"
    access = "none"
    control = True

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
            BadInput: not a spike budget.
        """
        flat = x.flatten(1)
        total = min(_flips(self.name, budget), flat.shape[1])
        if total == 0:
            return x.clone()
        lots = torch.rand(flat.shape, generator=generator).to(x.device)
        return torch.where(_largest(lots, total), 1 - flat, flat).view(x.shape)


def _flips(name: str, budget: Budget) -> int:
    if not isinstance(budget, SpikeBudget):
        raise BadInput(f"{name}: needs a budget on spikes (flips), got {budget}")
    return budget.flips


def _largest(values: Tensor, count: int) -> Tensor:
    """Mask of the `count` largest entries of each row; the lowest position wins a tie."""
    order = values.argsort(dim=1, descending=True, stable=True)[:, :count]
    return torch.zeros_like(values, dtype=torch.bool).scatter_(1, order, True)
