"""Simulated annealing over which spikes flip, by exact answers."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from neurorobust.attacks.base import Claims, Proposal
from neurorobust.attacks.feasible import Feasible
from neurorobust.attacks.gradients import Gradient
from neurorobust.attacks.images.autoattack import positive
from neurorobust.attacks.modes import PLAIN
from neurorobust.budgets import Budget
from neurorobust.classifier import Classifier
from neurorobust.types import Labels

if TYPE_CHECKING:  # compiled loops are loaded where an attack begins, not where it is listed
    from neurorobust.attacks.annealing.flip_walk import FlipWalk
    from neurorobust.backends.engine.loops import Array


@dataclass(frozen=True)
class FlipAnnealing(Claims):
    """Anneals the flips of a spike budget, each move answered exactly.

    At the untouched sample every entry that may flip is flipped alone (of large inputs the `first`
    that gradients rank highest), and what that does ranks the pool. A greedy pass over the `pool`
    best makes the first state; then one flip at a time is moved: to an entry of the pool, near
    another flip in space and time, or anywhere, chosen from 12 candidates. Each life begins
    from the best state, from a part of it, or from the pool; targets any class or one of the
    nearest; uses the next form of the energy (`annealing.energy`). In every third life the entries
    are ranked anew, on top of a part of the best state.
    Papers: simulated annealing (Kirkpatrick et al., Science 1983); sparse random search
    (Croce et al., Sparse-RS, AAAI 2022). Exact ranking, energies and lives are our form.
    Threat model: white-box (the network is recomputed), a `SpikeBudget`; the target itself is not
    asked. Networks that feed back or run for more than 64 steps are refused.

    Attributes:
        lives: walks a sample.
        moves: of the first three walks, twice as many of the next three, three times, then four
            times as many.
        effort: neurons times steps that the walks of a sample may compute: of a large network they
            are shorter. What comes before the first walk is not counted.
        least: neurons times steps after which a sample is given up whose lowest energy is still
            above a sixth of the untouched one's.
        first: entries that are flipped alone, at most.
        pool: entries of a greedy step.
    """

    lives: int = 12
    moves: int = 12_000
    effort: int = 6_000_000_000
    least: int = 1_500_000_000
    first: int = 40_000
    pool: int = 300
    name = "flip-annealing"
    kind = "flips"
    access = "white-box"
    control = False

    def __post_init__(self) -> None:
        positive(self, "lives", "moves", "effort", "least", "first", "pool")

    def check(self, classifier: Classifier, shape: tuple[int, ...], budget: Budget) -> None:
        """See `CheckedAttack`."""
        from neurorobust.attacks.annealing.follow import follow

        follow(self.name, classifier, classifier.encoder.steps or 1)

    def propose(
        self,
        classifier: Classifier,
        x: Tensor,
        labels: Labels,
        budget: Budget,
        generator: torch.Generator,
    ) -> Proposal:
        """Spikes uint8 `[batch, C, H, W, time]`, and which it found misclassified.

        Raises:
            BadInput: another kind of budget, or a network that cannot be followed.
        """
        from neurorobust.attacks.annealing.flip_walk import FlipWalk
        from neurorobust.attacks.annealing.follow import (
            Followed,
            follow,
            on_all_threads,
            seeds,
            spike_words,
        )

        feasible = Feasible.of(self.name, x, budget)
        net = follow(self.name, classifier, x.shape[-1])
        if not len(x) or not feasible.budget.flips or not bool(feasible.allowed.any()):
            return Proposal.untouched(x)
        own, slope = seeds(generator, len(x)), torch.zeros(x.shape)
        if x[0].numel() > self.first:
            slope = self.gradient(classifier, x, labels, generator).cpu()
        host = x.cpu()
        words = spike_words(host.flatten(1, 3))
        shape = classifier.backend.model.input_shape
        walks = [
            FlipWalk(
                Followed(net, words[row], int(labels[row]), classifier.readout.kind, own[row]),
                feasible.budget,
                feasible.spikes[row].cpu().numpy(),
                feasible.allowed[row].cpu().numpy(),
                self._entries(feasible, slope, row),
                (shape[2], shape[1]),
            )
            for row in range(len(x))
        ]
        rows = torch.arange(len(x))
        on_all_threads(lambda row: walks[row].greedy(self.pool), rows)
        for life in range(self.lives):
            standing = [row for row in rows.tolist() if not walks[row].over(self.least)]
            rows = torch.tensor(standing, dtype=torch.int64)
            if not len(rows):
                break
            on_all_threads(functools.partial(self._walk, walks, life), rows)
        flat = host.flatten(1).clone()
        for row, walk in enumerate(walks):
            flat[row, torch.from_numpy(walk.best[walk.best >= 0])] ^= 1
        claimed = torch.tensor([walk.broken for walk in walks])
        return Proposal(flat.view(x.shape).to(x.device), claimed.to(x.device))

    def _walk(self, walks: list[FlipWalk], life: int, row: int) -> None:
        moves = self.moves * min(4, 1 + life // 3)
        walks[row].live(life, moves, self.effort, self.lives - life)

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The gradient of the normalised margin with respect to the spikes."""
        return Gradient(PLAIN).start(classifier)(x, labels, generator)[0]

    def _entries(self, feasible: Feasible, slope: Tensor, row: int) -> Array:
        """Those that may flip; where there are too many, those that promise most."""
        promise = torch.where(feasible.spikes[row].cpu(), -1.0, 1.0) * slope[row].flatten()
        promise = promise.masked_fill(~feasible.allowed[row].cpu(), -torch.inf)
        order = promise.argsort(descending=True, stable=True)[: self.first]
        found: Array = order[promise[order] > -torch.inf].numpy().astype(np.int64)
        return found
