"""Spikes moved in time, none made or lost: by gradient, and at random (the control)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.best import Best
from neurorobust.attacks.events.schedule import Trains
from neurorobust.attacks.gradients import Gradient, GradientSource
from neurorobust.attacks.modes import PLAIN, Mode
from neurorobust.attacks.sample_random import SampleGenerators
from neurorobust.budgets import Budget
from neurorobust.classifier import Classifier
from neurorobust.types import Labels

HIGHEST = 10.0  # logits are clipped to +- this
START = 4.0  # logit at the start of the shifts -1, 0 and 1


@dataclass(frozen=True)
class Retiming:
    """Logits over the shifts of every spike, projected to a feasible schedule in every step.

    The softmax of the logits gives each spike's probability of every shift; the network sees the
    schedule that they project to (binary, at most one spike a place, inside the budget), and the
    gradient at its places goes straight through to the probabilities. A step adds the sign of the
    logits' gradient; logits stay within +-10 and start with 4 on the shifts -1, 0 and 1. Expected
    spikes beyond one a place cost `overflow` each.
    With a total or a number of moves (B1, B0) it is greedy instead: each step spends a share of the
    budget on the moves that gain most to first order, g[t + u] - g[t], by a fresh gradient.
    Paper: Yu et al., "Time is all it takes: spike-retiming attacks on event-driven spiking neural
    networks", ICLR 2026 (arXiv:2602.03284): 20 steps for B-infinity, 40 for B1 and B0. Our form:
    the gradient is divided by its largest size in the sample before the penalty is taken off; of
    moves that are in each other's way the larger mean gain goes first; moves keep the order of a
    line's spikes; the best iterate is kept; the greedy search, as logits pushed down by a penalty
    on the budget found nothing here.
    Threat model: white-box, a `ShiftBudget`: reach (B-infinity), total (B1), spikes (B0). What it
    achieves depends on the number of steps and on the width of a bin: report both.

    Attributes:
        steps: gradients where only the reach is limited.
        rounds: gradients of the greedy search.
        overflow: see above.
        mode: the backward mode.
    """

    steps: int = 40
    rounds: int = 10
    overflow: float = 20.0
    mode: Mode = PLAIN
    name = "retiming"
    kind = "shifts"
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
            BadInput: not a shift budget, or a backend without gradients.
        """
        trains = Trains.of(self.name, x, budget)
        if not len(trains.time) or len(trains.shifts) == 1:
            return x.clone()
        source, best = Gradient(self.mode).start(classifier), Best.start(x)
        if trains.sparse:
            return self._greedy(trains, source, best, x, labels, generator)
        near = (trains.shifts.abs() <= 1).float() * START
        logits = near.expand(trains.real.shape).masked_fill(~trains.real, -torch.inf)
        gain, now = torch.zeros(trains.real.shape), x
        for step in range(self.steps):
            gradient, standing = source(now, labels, generator)
            best.update(now, standing)
            most = gradient.flatten(1).abs().amax(1).clamp_min(1e-38)
            value = trains.at(gradient / most.view(-1, 1, 1, 1, 1))
            gain += (value - value[:, trains.still, None] - gain) / (step + 1)
            logits = self._stepped(trains, logits, value)
            now = trains.moved(logits, gain)[0]
        best.update(now, source.look(now, labels, generator))
        return best.x

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The gradient of the normalised margin with respect to the spikes."""
        return Gradient(self.mode).start(classifier)(x, labels, generator)[0]

    def _greedy(
        self,
        trains: Trains,
        source: GradientSource,
        best: Best,
        x: Tensor,
        labels: Labels,
        generator: torch.Generator,
    ) -> Tensor:
        """The moves with the largest first-order gain, a share of the budget a step."""
        now, shift = x, torch.zeros_like(trains.time)
        for step in range(self.rounds):
            gradient, standing = source(now, labels, generator)
            best.update(now, standing)
            value = trains.at(gradient)
            gain = value - value[:, trains.still, None]
            made = shift != 0
            column = (shift + trains.still)[made]
            gain[made] = -torch.inf
            gain[made, column] = torch.inf
            now, shift = trains.share((step + 1) / self.rounds).moved(gain, gain)
        best.update(now, source.look(now, labels, generator))
        return best.x

    def _stepped(self, trains: Trains, logits: Tensor, value: Tensor) -> Tensor:
        """Logits after one sign step on value - penalties, `[spikes, shifts]`."""
        chance = logits.softmax(1)
        expected = torch.zeros(trains.shape).flatten()
        expected.index_add_(0, trains.targets().flatten(), chance.flatten())
        crowded = trains.at((expected > 1).float())
        value = value - self.overflow * crowded
        slope = chance * (value - (chance * value).sum(1, keepdim=True))
        stepped = (logits + slope.sign()).clamp(-HIGHEST, HIGHEST)
        return stepped.masked_fill(~trains.real, -torch.inf)


@dataclass(frozen=True)
class RandomJitter:
    """Every spike prefers a random shift within reach, random ones move: the control.

    Threat model: no access, no queries, a `ShiftBudget`.
    """

    name = "random-jitter"
    kind = "shifts"
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
            BadInput: not a shift budget.
        """
        trains = Trains.of(self.name, x, budget)
        generators = SampleGenerators(generator, len(x))
        coins = generators.uniform(x.shape[1:-1].numel(), x.shape[-1], 2)
        line, time = trains.line % max(x.shape[1:-1].numel(), 1), trains.time
        which, worth = coins[trains.sample, line, time].unbind(-1)
        wanted = (which * len(trains.shifts)).long().clamp_max(len(trains.shifts) - 1)
        preference = -(trains.shifts - trains.shifts[wanted, None]).abs().float()
        return trains.moved(preference, worth[:, None].expand_as(preference))[0]
