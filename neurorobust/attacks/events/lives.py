"""State of a restarted search per sample: number of the restart, target class, best score."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.finer import Answers
from neurorobust.attacks.sample_random import SampleGenerators
from neurorobust.types import Labels

ANY = -1  # no class in particular
TARGETS = 3  # classes aimed at by name, the nearest ones
WEIGHTS = (0.3, 0.05, 1.0)  # of charge against counts, one life after the other


@dataclass
class Lives:
    """A life ends without success; the next one starts elsewhere and aims at something else.

    Odd lives go on from a random half of what the one before had found, even ones from nothing.
    The aims of each such pair are any class, the nearest one, the second, the third, and any again;
    the weight of the charge and the memory change, too, so that two lives rarely walk the same way.

    Attributes:
        labels: true classes `[batch]`.
        nearest: int64 `[batch, classes - 1]`, the other classes, the nearest first.
        unit: float64 `[batch]`, charge that is worth a spike.
        number: int64 `[batch]`, of the life.
        idle: int64 `[batch]`, rounds since the last progress.
        level: float64 `[batch]`, the score of the sample's state.
        gain: float32 `[batch, entries]`, what an edit that ends there gained when it was asked last
            since the search began from nothing; not a number: never asked.
    """

    labels: Labels
    nearest: Tensor
    unit: Tensor
    number: Tensor
    idle: Tensor
    level: Tensor
    gain: Tensor

    @staticmethod
    def start(answers: Answers, labels: Labels, entries: int) -> Lives:
        """From what is said of the untouched samples, of so many entries."""
        own = labels[:, None]
        charge, count = answers.charge.gather(1, own), answers.integers.gather(1, own)
        spread = answers.charge.amax(1) - answers.charge.amin(1)
        unit = torch.where((charge > 0) & (count > 0), charge / count, spread[:, None])[:, 0]
        unit = unit.clamp_min(1.0)
        worth = (answers.integers + answers.charge / unit[:, None]).scatter(1, own, -torch.inf)
        nearest = worth.argsort(dim=1, descending=True, stable=True)[:, :-1]
        zeros = torch.zeros(len(labels), dtype=torch.int64)
        gain = torch.full((len(labels), entries), torch.nan)
        lives = Lives(labels, nearest, unit, zeros, zeros.clone(), zeros.double(), gain)
        lives.level = lives.score(answers, torch.arange(len(labels)))
        return lives

    def target(self, rows: Tensor) -> Tensor:
        """The class aimed at, or `ANY`: int64 `[n]`."""
        turn = (self.number[rows] // 2) % (1 + min(TARGETS, self.nearest.shape[1]))
        named = self.nearest[rows].gather(1, (turn - 1).clamp_min(0)[:, None])[:, 0]
        return torch.where(turn == 0, ANY, named)

    def remembers(self, rows: Tensor) -> Tensor:
        """Whether what was asked before says what is asked next, bool `[n]`: in half of the lives.

        Each aim is met with and without.
        """
        number = self.number[rows]
        remembers: Tensor = (number // 2 + number // (2 * (1 + TARGETS))) % 2 == 0
        return remembers

    def score(self, answers: Answers, rows: Tensor) -> Tensor:
        """How near these answers are to what the samples aim at, float64 `[n]`.

        Infinity where the sample is broken.
        """
        if not len(rows):
            return torch.zeros(0, dtype=torch.float64)
        weight = torch.tensor(WEIGHTS, dtype=torch.float64)[self.number[rows] % len(WEIGHTS)]
        worth = answers.integers + answers.charge * (weight / self.unit[rows])[:, None]
        own, target = self.labels[rows, None], self.target(rows)
        other = worth.scatter(1, own, -torch.inf).amax(1)
        named = worth.gather(1, target.clamp_min(0)[:, None])[:, 0]
        aim = torch.where(target == ANY, other, named)
        return torch.where(answers.wrong, torch.inf, aim - worth.gather(1, own)[:, 0])

    def advance(self, rows: Tensor, level: Tensor, plain: bool) -> Tensor:
        """Bool `[n]`: what has been found is worth having; `plain`: also where it is level."""
        better = (level > self.level[rows]) | (plain & (level == self.level[rows]))
        self.idle[rows] = torch.where(better, 0, self.idle[rows] + 1)
        self.level[rows] = torch.where(better, level, self.level[rows])
        return better

    def renew(self, rows: Tensor, mask: Tensor, generators: SampleGenerators) -> Tensor:
        """Begin the next life; which of the state's edits (bool `[n, k]`) it takes along."""
        self.number[rows] += 1
        self.idle[rows] = 0
        self.gain[rows[self.number[rows] % 2 == 0]] = torch.nan
        keys = torch.full(mask.shape, torch.inf)
        drawn = generators.counted(mask.sum(1), rows)[0]
        keys[mask] = drawn[drawn >= 0]
        half = (mask.sum(1) // 2) * (self.number[rows] % 2)
        order = keys.argsort(1).argsort(1)
        kept: Tensor = mask & (order < half[:, None])
        return kept
