"""Flips found by labels alone: random ones that break, then as few of them as possible."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from neurorobust.attacks.events.balanced_flips import balanced
from neurorobust.attacks.events.restore import restore
from neurorobust.attacks.feasible import Feasible, flip
from neurorobust.attacks.flip_queries import FlipQueries
from neurorobust.attacks.queries import report
from neurorobust.attacks.sample_random import SampleGenerators
from neurorobust.budgets import Budget
from neurorobust.classifier import Classifier
from neurorobust.types import Labels


@dataclass(frozen=True)
class Pointwise:
    """Flip at random until the label changes, more each time; then take back what can be spared.

    Paper: the pointwise attack, Schott et al., "Towards the first adversarially robust neural
    network model on MNIST", ICLR 2019, from noise. Our form: starts double from one flip to
    all that are allowed and begin again, half of them deletions; groups are restored.
    Threat model: decision access, `queries` queries a sample, a `SpikeBudget`; a start may use more
    flips than the budget's number, never another side or place. What still has too many at the end
    is cut at random and counts as not broken.

    Attributes:
        queries: at most, a sample.
    """

    queries: int = 1000
    name = "pointwise"
    kind = "flips"
    access = "decision"
    control = False
    may_return_x = True

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
        if feasible.budget.flips == 0 or len(x) == 0:
            return x.clone()
        flip_queries = FlipQueries(classifier, x, labels, generator)
        generators = SampleGenerators(generator, len(x))
        entries = feasible.spikes.shape[1]
        free = replace(
            feasible,
            budget=replace(feasible.budget, flips=entries, insertions=None, deletions=None),
        )
        mask, active, count = torch.zeros_like(feasible.spikes), torch.arange(len(x)), 1
        for _ in range(self.queries):
            if not len(active):
                break
            tried = free.rows(active).choose(balanced(free, generators, active), count)
            mask[active] = tried
            active = active[flip_queries(tried, active).broken == 0]
            count = 2 * count if count < entries else 1
        mask = restore(
            flip_queries, mask, generators, (self.queries - flip_queries.asked).clamp_min(0)
        )
        report(classifier, flip_queries.asked)
        return flip(
            x, feasible.choose(balanced(feasible, generators).masked_fill(~mask, -torch.inf))
        )
