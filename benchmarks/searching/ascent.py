"""Momentum ascents over pixels; the surrogate changes from start to start, or along the path."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.classifier import Classifier
from searching.delta_loops import State
from searching.images import PixelSearch, corners
from searching.surrogates import SURROGATES, gradient

STEPS, DECAY, PATH = 40, 0.75, 4.0  # of the ascent: steps, momentum, length of the path in eps
STARTS = 4  # ascents before the first annealing
OFFERED = 5  # steps after which the searches see a point


@dataclass
class Climber:
    """Momentum ascents of all samples that still stand.

    Attributes:
        searches: all samples; each is offered the points on its path.
        state: to be used.
        classifier: on the engine.
        x: their images, float32 `[batch, C, H, W]`.
        labels: their classes.
        epsilon: L-infinity.
        done: ascents so far; decides start, loss and surrogates.
    """

    searches: list[PixelSearch]
    state: State
    classifier: Classifier
    x: Tensor
    labels: Tensor
    epsilon: float
    done: int = 0

    def climb(self, number: int, deadline: float) -> None:
        """Several ascents before turn 0, one before every fourth turn."""
        for _ in range(STARTS if number == 0 else int(number % 4 == 0)):
            rows = [row for row, search in enumerate(self.searches) if not search.broken]
            if rows and time.perf_counter() < deadline:
                self._ascend(rows)
                self.done += 1

    def _ascend(self, rows: list[int]) -> None:
        x, labels = self.x[rows], self.labels[rows]
        low, high = (torch.from_numpy(part).view_as(x) for part in corners(x.numpy(), self.epsilon))
        generator = torch.Generator().manual_seed(1000 + self.done)
        z = x.clone()
        if self.done % 2:
            z = low + (high - low) * torch.rand(x.shape, generator=generator)
        loss, mixed = ("margin", "ce")[self.done // 2 % 2], self.done % 3 == 2
        momentum, shown, total = (torch.zeros_like(x) for _ in range(3))
        for step in range(STEPS):
            surrogate = SURROGATES[(self.done + (step if mixed else 0)) % len(SURROGATES)]
            found = gradient(self.classifier, z, labels, surrogate, loss)
            shown += found.abs()
            total += found
            scale = found.abs().flatten(1).mean(1).clamp_min(1e-12).view(-1, 1, 1, 1)
            momentum = DECAY * momentum + found / scale
            size = PATH * self.epsilon / STEPS
            z = (z + size * momentum.sign()).clamp(low, high)
            if step % OFFERED == OFFERED - 1:
                for place, row in enumerate(rows):
                    if not self.searches[row].broken:
                        self.searches[row].offer(self.state, z[place].flatten().numpy())
        for place, row in enumerate(rows):
            gradients, sizes = (part[place].flatten().double().numpy() for part in (total, shown))
            self.searches[row].see(gradients, sizes)
