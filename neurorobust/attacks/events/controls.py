"""Random controls of equal budget: spikes dropped, spikes inserted, a patch of noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.events.windows import check_patch, window
from neurorobust.attacks.feasible import Feasible, flip
from neurorobust.attacks.sample_random import SampleGenerators
from neurorobust.budgets import Budget
from neurorobust.classifier import Classifier
from neurorobust.types import Labels


@dataclass(frozen=True)
class RandomDrop:
    """As many spikes as allowed are deleted, chosen uniformly, each sample its own.

    Threat model: no access, no queries, the deletions of a `SpikeBudget`.
    """

    name = "random-drop"
    kind = "flips"
    access = "none"
    control = True
    deletes = True

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
        return flip(
            x, feasible.choose(uniform.masked_fill(feasible.spikes != self.deletes, -torch.inf))
        )


@dataclass(frozen=True)
class RandomInsert(RandomDrop):
    """As many spikes as allowed are inserted, at places chosen uniformly, each sample its own.

    Threat model: no access, no queries, the insertions of a `SpikeBudget`.
    """

    name = "random-insert"
    deletes = False


@dataclass(frozen=True)
class PatchNoise:
    """A rectangle anywhere, filled with a coin an entry, each sample its own.

    Threat model: no access, no queries, a `PatchBudget`.
    """

    name = "patch-noise"
    kind = "patches"
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
            BadInput: not a patch budget.
        """
        height, width = check_patch(self.name, x, budget)
        generators, found = SampleGenerators(generator, len(x)), x.clone()
        if not height or not width:
            return found
        corner = generators.uniform(2)
        room = torch.tensor([x.shape[2] - height + 1, x.shape[3] - width + 1])
        top_left = (corner * room).long()
        noise = generators.uniform(x.shape[1], height, width, x.shape[4]) < 0.5
        for row, (top, left) in enumerate(top_left.tolist()):
            found[row][window(top, left, height, width)] = noise[row].to(x.dtype)
        return found
