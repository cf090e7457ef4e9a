"""The sparse dynamic attack: flips that were seen to help, then as few of them as possible."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.events.exchange import Exchange
from neurorobust.attacks.events.reduction import reduce
from neurorobust.attacks.feasible import Feasible, flip
from neurorobust.attacks.flip_queries import FlipQueries
from neurorobust.attacks.gradients import Gradient
from neurorobust.attacks.index_lists import marked, top
from neurorobust.attacks.modes import PLAIN, Mode
from neurorobust.attacks.sample_random import SampleGenerators
from neurorobust.budgets import Budget
from neurorobust.classifier import Classifier
from neurorobust.types import Labels

TINY = 1e-30  # promise of an entry without gradient: below any that has one


@dataclass(frozen=True)
class Sda:
    """Flip what lowers the loss until the label changes; then take back what is not needed.

    Iteration n takes, by the gradient g of the margin, the feasible flips (d * g > 0, d = 1 - 2 s;
    entries without gradient get a tiny random promise), asks for the `growth * (n + 1)` most
    promising one by one, and makes all that lower the loss. Broken samples are reduced by a binary
    search over the flips sorted by effect. Nothing is fractional at any time.
    Paper: Lun et al., "Towards effective and sparse adversarial attack on spiking neural networks
    via breaking invisible surrogate gradients" (SDA), CVPR 2025: growth 10, 500 iterations, at most
    200 or 800 flips; mean and median with failures in the denominator.
    Our form: where no single flip lowers the loss (spike counts are integers) the n + 1 most
    promising that do not raise it are made; effects are measured at the found point and again after
    every reduction; a local search over pairs (`Exchange`) then saves more flips, or mends what had
    to be cut to the budget. Generation may use `excess` times the budget before a sample is given
    up. A sample that stays unbroken is returned with the flips that raised its margin most, so
    it counts as the failure it is.
    Threat model: white-box, a `SpikeBudget`. Answers are as sparse as the attack can make them.

    Attributes:
        steps: iterations at most.
        growth: see above.
        excess: see above.
        patience: iterations without a larger margin after which a sample is given up.
        rounds: of every local search; 0: none, as published.
        pool: of every local search.
        mode: the backward mode.
    """

    steps: int = 500
    growth: int = 10
    excess: int = 4
    patience: int = 100
    rounds: int = 3
    pool: int = 16
    mode: Mode = PLAIN
    name = "sda"
    kind = "flips"
    access = "white-box"
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
            BadInput: not a spike budget, or a backend without gradients.
        """
        feasible = Feasible.of(self.name, x, budget)
        if feasible.budget.flips == 0 or len(x) == 0:
            return x.clone()
        flip_queries = FlipQueries(classifier, x, labels, generator)
        rows = torch.arange(len(x))
        mask, gain = self._generate(classifier, flip_queries, feasible, generator)
        mask = reduce(flip_queries, mask, rows)
        mask = feasible.choose(gain.masked_fill(~mask, -torch.inf))
        if self.rounds:
            rank = Promise(classifier, flip_queries, self.mode, generator)
            search = Exchange(flip_queries, feasible, rank, self.rounds, self.pool)
            most = torch.full((len(x),), feasible.budget.flips)
            mask = search.shrink(search.improve(mask, rows, most), rows)
        return flip(x, mask)

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The gradient of the normalised margin with respect to the spikes."""
        return Gradient(self.mode).start(classifier)(x, labels, generator)[0]

    def _generate(
        self,
        classifier: Classifier,
        flip_queries: FlipQueries,
        feasible: Feasible,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Flips, and by how much each raised the margin when it was made."""
        x, labels = flip_queries.x, flip_queries.labels
        source = Gradient(self.mode).start(classifier)
        generators = SampleGenerators(generator, len(x))
        mask = torch.zeros_like(feasible.spikes)
        gain = torch.zeros(mask.shape)
        active = torch.arange(len(x))
        highest, since = torch.full((len(x),), -torch.inf), torch.zeros(len(x), dtype=torch.int64)
        for step in range(self.steps):
            now = flip(x[active], mask[active])
            gradient, standing = source(now, labels[active], generator)
            going = (standing.broken == 0).nonzero().flatten()
            if len(going) < len(active):
                source.keep(going)
                active, now, gradient = active[going], now[going], gradient[going]
            if not len(active):
                break
            promise = ((1 - 2 * now.to(torch.float32)) * gradient).flatten(1)
            blind = promise == 0
            if bool(blind.any()):
                tiny = TINY * generators.uniform(promise.shape[1], rows=active)
                promise = torch.where(blind, tiny, promise)
            promise.masked_fill_((promise <= 0) | ~feasible.allowed[active], -torch.inf)
            places = top(promise, self.growth * (step + 1))
            _, margin = flip_queries.with_one_more(mask[active], active, places)
            made, effect = _made(places, margin - standing.margin[going, None], step + 1)
            mask[active] ^= marked(made, mask.shape[1])
            here = torch.arange(len(active))[:, None].expand_as(places)[made >= 0]
            gain[active[here], places[made >= 0]] = effect[made >= 0]
            rose = standing.margin[going] > highest[active]
            highest[active[rose]] = standing.margin[going][rose]
            since[active] = torch.where(rose, 0, since[active] + 1)
            lost = mask[active].sum(1) > self.excess * feasible.budget.flips + self.growth
            lost |= since[active] >= self.patience
            if bool(lost.any()):
                source.keep((~lost).nonzero().flatten())
                active = active[~lost]
            if not len(active):
                break
        return mask, gain


def _made(places: Tensor, effect: Tensor, few: int) -> tuple[Tensor, Tensor]:
    """Of the places asked about those that are flipped (others -1), and their effects."""
    good, level = effect > 0, effect == 0
    none = ~good.any(1, keepdim=True)
    chosen = good | (none & level & (level.cumsum(1) <= few))
    return places.masked_fill(~chosen, -1), effect


@dataclass(frozen=True)
class Promise:
    """What flips promise, by the gradient at the flipped point: a `Rank`."""

    classifier: Classifier
    flip_queries: FlipQueries
    mode: Mode
    generator: torch.Generator

    def __call__(self, mask: Tensor, rows: Tensor) -> Tensor:
        """`[n, entries]`."""
        now = flip(self.flip_queries.x[rows], mask)
        source = Gradient(self.mode).start(self.classifier)
        gradient, _ = source(now, self.flip_queries.labels[rows], self.generator)
        promise: Tensor = (1 - 2 * now.to(torch.float32)) * gradient
        return promise.flatten(1)
