"""Events inserted and deleted by learnt probabilities: Gumbel noise, hard samples only."""

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

DELETE, KEEP, INSERT = range(3)


@dataclass(frozen=True)
class GumbelEvents:
    """Three logits an entry (delete, keep, insert), sampled by Gumbel noise, learnt by gradient.

    The network sees a hard sample: entries whose noisy logit of a change is above that of keeping,
    of these the largest differences that the budget allows (Gumbel top-k, a draw without
    replacement: Kool et al., ICML 2019). The gradient goes straight through to p(insert) -
    p(delete) of the softmax. A step adds the logits' gradient, divided by its largest size in the
    sample and averaged with momentum; the noise falls linearly to 0. Only hard samples are shown
    and returned.
    Paper: Gumbel-softmax attacks on raw events (ECCV 2024), known to us from a summary; the whole
    is our form, `SpikeBudget` in the place of its L1 penalty too.
    Threat model: white-box, a `SpikeBudget`.

    Attributes:
        steps: gradients.
        rate: of a step.
        momentum: of the gradient.
        keep: logit of keeping at the start, the others being 0.
        mode: the backward mode.
    """

    steps: int = 40
    rate: float = 1.0
    momentum: float = 0.5
    keep: float = 1.0
    mode: Mode = PLAIN
    name = "gumbel"
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
        if feasible.budget.flips == 0 or len(x) == 0:
            return x.clone()
        source = Gradient(self.mode).start(classifier)
        generators = SampleGenerators(generator, len(x))
        logits = torch.zeros(*feasible.spikes.shape, 3)
        logits[..., KEEP] = self.keep
        slope, best = torch.zeros_like(logits), Best.start(x)
        for step in range(self.steps):
            noise = (1 - step / max(self.steps - 1, 1)) * gumbel(generators, logits.shape[1])
            now = flip(x, self._sampled(feasible, logits + noise))
            gradient, standing = source(now, labels, generator)
            best.update(now, standing)
            fresh = through(logits.softmax(2), gradient.flatten(1))
            most = fresh.abs().flatten(1).amax(1).clamp_min(1e-38)
            slope = self.momentum * slope + (1 - self.momentum) * fresh / most[:, None, None]
            logits = logits + self.rate * slope
        last = flip(x, self._sampled(feasible, logits))
        best.update(last, source.look(last, labels, generator))
        return best.x

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The gradient of the normalised margin with respect to the spikes."""
        return Gradient(self.mode).start(classifier)(x, labels, generator)[0]

    def _sampled(self, feasible: Feasible, logits: Tensor) -> Tensor:
        change = torch.where(feasible.spikes, logits[..., DELETE], logits[..., INSERT])
        above = change - logits[..., KEEP]
        return feasible.choose(above.masked_fill(above <= 0, -torch.inf))


def gumbel(generators: SampleGenerators, entries: int) -> Tensor:
    """Standard Gumbel noise `[batch, entries, 3]`."""
    uniform = generators.uniform(entries, 3).clamp(1e-7, 1 - 1e-7)
    return -(-uniform.log()).log()


def through(chance: Tensor, gradient: Tensor) -> Tensor:
    """d/d logits of sum(gradient * (p(insert) - p(delete))), by the softmax's derivative.

    Args:
        chance: softmax of the logits `[batch, entries, 3]`.
        gradient: with respect to the entries `[batch, entries]`.
    """
    worth = torch.stack([-gradient, torch.zeros_like(gradient), gradient], 2)
    return chance * (worth - (chance * worth).sum(2, keepdim=True))
