"""Simulated annealing over which spikes flip, by exact answers."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from neurorobust.attacks.annealing.flips import NONE, anneal_flips, single_effects
from neurorobust.attacks.annealing.follow import (
    Followed,
    follow,
    on_all_threads,
    seeds,
    spike_words,
)
from neurorobust.attacks.annealing.random import seeded
from neurorobust.attacks.autoattack import positive
from neurorobust.attacks.base import Claims, Proposal
from neurorobust.attacks.feasible import Feasible
from neurorobust.attacks.gradients import Gradient
from neurorobust.attacks.modes import PLAIN
from neurorobust.backends.engine.incremental.loops import Sample, refresh
from neurorobust.backends.engine.loops import Array
from neurorobust.classifier import Classifier
from neurorobust.types import Budget, Labels, SpikeBudget

HOT, COLD = (0.25, 0.5, 1.0), 0.02  # first temperatures, one life after the other; the last one
FLAT = (20.0, 100.0, 5.0)  # of the pool's weights 1 / (rank + this), one life after the other


@dataclass(frozen=True)
class FlipAnnealing(Claims):
    """Anneals the flips of a spike budget, each move answered exactly.

    At the untouched sample every entry that may flip is flipped alone (of large inputs the `first`
    that gradients rank highest), and what that does ranks the pool. A greedy pass over the `pool`
    best makes the first state; then one flip at a time is moved: to an entry of the pool, near
    another flip in space and time, or anywhere. Each life begins from the best state, from a part
    of it, or from the pool; targets any class or one of the nearest; uses the next form of the
    energy (`annealing.energy`). In every third life the entries are ranked anew, on top of a part
    of the best state.
    Papers: simulated annealing (Kirkpatrick et al., Science 1983); sparse random search
    (Croce et al., Sparse-RS, AAAI 2022). Exact ranking, energies and lives are our form.
    Threat model: white-box (the network is recomputed), a `SpikeBudget`; the target itself is not
    asked. Networks that feed back or run for more than 64 steps are refused.

    Attributes:
        lives: walks a sample.
        moves: of the first walks; from the third on twice, from the sixth three times as many, up
            to four times.
        effort: neurons times steps that are computed for a sample at most: of a large network the
            walks are shorter.
        first: entries that are flipped alone, at most.
        pool: entries of a greedy step.
    """

    lives: int = 12
    moves: int = 12_000
    effort: int = 6_000_000_000
    first: int = 40_000
    pool: int = 300
    name = "flip-annealing"
    kind = "flips"
    access = "white-box"
    control = False

    def __post_init__(self) -> None:
        positive(self, "lives", "moves", "effort", "first", "pool")

    def check(self, classifier: Classifier, shape: tuple[int, ...], budget: Budget) -> None:
        """See `CheckedAttack`."""
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
            _Walk(
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
            standing = [row for row in rows.tolist() if not walks[row].broken]
            rows = torch.tensor(standing, dtype=torch.int64)
            if not len(rows):
                break
            on_all_threads(functools.partial(self._walk, walks, life), rows)
        flat = host.flatten(1).clone()
        for row, walk in enumerate(walks):
            flat[row, torch.from_numpy(walk.best[walk.best >= 0])] ^= 1
        claimed = torch.tensor([walk.broken for walk in walks])
        return Proposal(flat.view(x.shape).to(x.device), claimed.to(x.device))

    def _walk(self, walks: list[_Walk], life: int, row: int) -> None:
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


@dataclass
class _Walk:
    """One sample's.

    Attributes:
        follow: the sample.
        budget: how many flips, of which side.
        spikes, allowed: bool `[entries]`.
        entries: int64, those to be ranked.
        size: width, height.
    """

    follow: Followed
    budget: SpikeBudget
    spikes: Array
    allowed: Array
    entries: Array
    size: tuple[int, int]
    broken: bool = False
    energy: float = np.inf
    pool: Array = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        self.slots = min(self.budget.flips, len(self.entries))
        self.best = np.full(self.slots, NONE, np.int64)
        most = (self.budget.insertions, self.budget.deletions)
        self.sides = np.array([self.slots if side is None else side for side in most], np.int64)

    def greedy(self, count: int) -> None:
        """Rank the pool, and make one flip after the other, the best of the pool's first."""
        sample = self.follow.begin()
        if self.follow.standing(sample)[0] or not self.slots:
            self.broken = bool(self.slots) and self.follow.standing(sample)[0]
            return
        self._rank(sample, np.full(self.slots, NONE, np.int64), 0)
        flips, used = np.full(self.slots, NONE, np.int64), np.zeros(2, np.int64)
        for slot in range(self.slots):
            left = self.pool[~np.isin(self.pool, flips)]
            left = left[
                used[self.spikes[left].astype(int)] < self.sides[self.spikes[left].astype(int)]
            ]
            left = left[:count]
            if not len(left) or self.broken:
                break
            effect = np.full(len(left), np.inf)
            place = self._effects(sample, left, effect, 0)
            chosen = place if place >= 0 else int(np.argmin(effect))
            flips[slot] = left[chosen]
            used[int(self.spikes[left[chosen]])] += 1
            refresh(self.follow.net, sample, self._made(flips))
            self._keep(sample, flips)

    def live(self, life: int, moves: int, effort: int, left: int) -> None:
        """One walk, of `left` that are still to come; see `Followed.affordable`."""
        net, sample = self.follow.net, self.follow.begin()
        flips = self._begin(sample, life)
        refresh(net, sample, self._made(flips))
        found = flips.copy()
        moves = self.follow.affordable(moves, effort, left)
        if moves and not self.follow.standing(sample)[0]:
            cumulative = np.cumsum(1.0 / (np.arange(len(self.pool)) + FLAT[life % len(FLAT)]))
            *_, made = anneal_flips(
                net, sample, self.follow.label, self.follow.target(sample, life),
                self.follow.weights(life), self.follow.by_count, *self.size, self.spikes,
                self.allowed, self.sides, flips, self.pool, cumulative, moves,
                HOT[life % len(HOT)], COLD, seeded(self.follow.seed()), found,
            )  # fmt: skip
            refresh(net, sample, self._made(found))
            self.follow.spent(sample, made)
        self._keep(sample, found)

    def _begin(self, sample: Sample, life: int) -> Array:
        """The best, two thirds or one third of it, or none; in every third life ranked anew."""
        kept = self.best.copy()
        share = (3, 2, 1, 0)[life % 4]
        if share < 3:
            gone = self.follow.rng.permutation(self.slots)[self.slots * share // 3 :]
            kept[gone] = NONE
        if life % 3 == 2:
            refresh(self.follow.net, sample, self._made(kept))
            if self.follow.standing(sample)[0]:
                return kept
            self._rank(sample, kept, life)
        return kept

    def _rank(self, sample: Sample, flips: Array, form: int) -> None:
        """Sort the pool by what each entry's flip does on top of `flips`."""
        effect = np.full(len(self.entries), np.inf)
        place = self._effects(sample, self.entries, effect, form)
        self.pool = self.entries[np.argsort(effect, kind="stable")]
        if place >= 0:  # it comes first, the energy of those behind it is not known
            self.pool = np.concatenate([self.entries[place : place + 1], self.pool])

    def _effects(self, sample: Sample, entries: Array, into: Array, form: int) -> int:
        return int(
            single_effects(
                self.follow.net, sample, self.follow.label, -1, self.follow.weights(form),
                self.follow.by_count, entries, into,
            )
        )  # fmt: skip

    def _made(self, flips: Array) -> Array:
        """The input's words with these flips."""
        words, steps = self.follow.words.copy(), self.follow.net.steps
        used = flips[flips >= 0]
        np.bitwise_xor.at(words, used // steps, np.uint64(1) << (used % steps).astype(np.uint64))
        return words

    def _keep(self, sample: Sample, flips: Array) -> None:
        broken, energy = self.follow.standing(sample)
        if broken or energy < self.energy:
            self.broken, self.energy, self.best = broken, energy, flips.copy()
