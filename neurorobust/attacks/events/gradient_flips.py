"""Flips of single input spikes within an L0 budget: by gradient, and at random (the control)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.best import Best
from neurorobust.attacks.feasible import Feasible, flip
from neurorobust.attacks.gradients import Gradient
from neurorobust.attacks.modes import PLAIN, Mode
from neurorobust.attacks.sample_random import SampleGenerators
from neurorobust.budgets import Budget
from neurorobust.classifier import Classifier
from neurorobust.types import Labels


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
    Threat model: white-box, a `SpikeBudget` on the binary `[batch, C, H, W, time]`.

    Attributes:
        rounds: gradients computed, at most one a flip.
        mode: the backward mode.
        loss: a name of `objectives.LOSSES`.
    """

    rounds: int = 10
    mode: Mode = PLAIN
    loss: str = "margin"
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
        feasible = Feasible.of(self.name, x, budget)
        total = feasible.budget.flips
        if total == 0 or len(x) == 0:
            return x.clone()
        current, best = x.clone(), Best.start(x)
        flipped = torch.zeros_like(feasible.spikes)
        rounds = min(self.rounds, total)
        source = Gradient(self.mode, loss=self.loss).start(classifier)
        for done in range(rounds):
            gradient, standing = source(current, labels, generator)
            best.update(current, standing)
            promise = ((1 - 2 * current.to(torch.float32)) * gradient).flatten(1)
            score = promise.masked_fill(promise <= 0, -torch.inf).masked_fill(flipped, torch.inf)
            flipped = feasible.choose(score, total * (done + 1) // rounds)
            current = flip(x, flipped)
        best.update(current, source.look(current, labels, generator))
        return best.x

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The gradient of the normalised margin with respect to the spikes."""
        return Gradient(self.mode, loss=self.loss).start(classifier)(x, labels, generator)[0]


@dataclass(frozen=True)
class Sea(SpikeTopK):
    """The flips that promise most by one gradient at x: the best there is to first order.

    An entry of a binary tensor has one feasible change d = 1 - 2 s, so that the best k changes of a
    linear model are the k largest d * g. Changes that promise nothing are not made. `SpikeTopK`
    with one round, and the cross-entropy as its loss.
    Paper: SEA (ICLR 2025); its customary budget is 5 entries of the encoded input. Our form of the
    loss: of scale-free logits.
    Threat model: white-box, a `SpikeBudget` on the binary `[batch, C, H, W, time]`.
    """

    rounds: int = 1
    loss: str = "ce"
    name = "sea"


@dataclass(frozen=True)
class SpikeRandom:
    """As many distinct entries as allowed, chosen uniformly, each sample its own: the control.

    Threat model: no access, no queries, a `SpikeBudget` on the binary input.
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
        feasible = Feasible.of(self.name, x, budget)
        uniform = SampleGenerators(generator, len(x)).uniform(x.shape[1:].numel())
        return flip(x, feasible.choose(uniform.to(x.device)))
