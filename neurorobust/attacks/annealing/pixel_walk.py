"""One sample's walks between the choices of its pixels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from neurorobust.attacks.annealing.follow import Followed
from neurorobust.attacks.annealing.pixel_choices import Choices
from neurorobust.attacks.annealing.pixels import anneal_pixels, descend_pixels
from neurorobust.attacks.annealing.random import seeded
from neurorobust.backends.engine.incremental.loops import Sample, refresh
from neurorobust.backends.engine.loops import Array

HOT, COLD = (0.3, 1.0, 0.6, 2.0), 0.02  # first temperatures, one life after the other; the last one
ELITE = 6  # points of a sample that are crossed


@dataclass
class PixelWalk:
    """One sample's.

    Attributes:
        follow: the sample.
        choices: its pixels'.
        size: width, height.
        best: int64 `[inputs]`, the best choices so far.
    """

    follow: Followed
    choices: Choices
    size: tuple[int, int]
    broken: bool = False
    energy: float = np.inf
    best: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    start: Array | None = None
    elite: list[tuple[float, Array]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.free = np.flatnonzero(np.diff(self.choices.starts) > 1).astype(np.int64)
        self.best = self.choices.starts[:-1].copy()
        self.pull = np.ones(len(self.free))

    def see(self, end: Tensor, slope: Array) -> None:
        """Where an ascent ended, and how large the gradients are there."""
        self.start = self.choices.nearest(end)
        some = slope[self.free]
        self.pull += some / max(float(some.mean()), 1e-30) if len(some) else 0.0

    def over(self, least: int) -> bool:
        """Nothing is left to be done: broken, or given up (see `Followed.far`)."""
        return self.broken or self.follow.far(self.energy, least)

    def live(self, life: int, moves: int, effort: int, left: int) -> None:
        """One walk, of `left` that are still to come; see `Followed.affordable`."""
        net, sample = self.follow.net, self.follow.begin()
        now = self._begin(life)
        refresh(net, sample, self.choices.words[now])
        moves = self.follow.affordable(moves, effort, left)
        if len(self.free) and moves and not self.follow.standing(sample)[0]:
            target, weights = self.follow.target(sample, life), self.follow.weights(life)
            found, random = np.empty_like(now), seeded(self.follow.seed())
            common = (target, weights, self.follow.by_count)
            *_, made = anneal_pixels(
                net, sample, self.follow.label, *common, *self.size, self.choices.starts,
                self.choices.words, now, self.free, np.cumsum(self.pull + self.pull.mean()),
                moves, HOT[life % len(HOT)], COLD, random, found,
            )  # fmt: skip
            refresh(net, sample, self.choices.words[found])
            descend_pixels(
                net, sample, self.follow.label, *common, self.choices.starts, self.choices.words,
                found, self.free, random,
            )  # fmt: skip
            now = found
            self.follow.spent(sample, made)
        self._keep(sample, now)

    def _begin(self, life: int) -> Array:
        """Where an ascent ended, the best, two good points crossed, or a random corner."""
        if self.start is not None:
            now, self.start = self.start, None
            return now
        rng, ends = self.follow.rng, self.choices.starts
        if life % 6 == 5:
            low = rng.random(len(self.best)) < 0.5
            corner: Array = np.where(low, ends[:-1], ends[1:] - 1)
            return corner
        if life % 6 == 1 or len(self.elite) < 2:
            return self.best.copy()
        one, other = rng.choice(len(self.elite), 2, replace=False)
        mask = rng.random(len(self.best)) < 0.5
        crossed: Array = np.where(mask, self.elite[one][1], self.elite[other][1])
        return crossed

    def _keep(self, sample: Sample, now: Array) -> None:
        broken, energy = self.follow.standing(sample)
        if broken or energy < self.energy:
            self.broken, self.energy, self.best = broken, energy, now.copy()
        self.elite = sorted([*self.elite, (energy, now.copy())], key=lambda pair: pair[0])[:ELITE]
