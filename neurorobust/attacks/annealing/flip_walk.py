"""One sample's walks between the flips of a budget."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from neurorobust.attacks.annealing.flips import NONE, anneal_flips, single_effects
from neurorobust.attacks.annealing.follow import Followed
from neurorobust.attacks.annealing.random import seeded
from neurorobust.backends.engine.incremental.loops import Sample, refresh
from neurorobust.backends.engine.loops import Array
from neurorobust.budgets import SpikeBudget

HOT, COLD = (0.25, 0.5, 1.0), 0.02  # first temperatures, one life after the other; the last one
FLAT = (20.0, 100.0, 5.0)  # of the pool's weights 1 / (rank + this), one life after the other


@dataclass
class FlipWalk:
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

    def over(self, least: int) -> bool:
        """Nothing is left to be done: broken, or given up (see `Followed.far`)."""
        return self.broken or self.follow.far(self.energy, least)

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
