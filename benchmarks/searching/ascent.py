"""Ascents over pixels; the surrogate changes from start to start, or along the path.

Two rules in turn: steps of one size along the sign of a momentum, and steps that each pixel's own
history of gradients scales and that halve on the way.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.classifier import Classifier
from searching.delta_loops import State
from searching.images import PixelSearch, corners
from searching.surrogates import SURROGATES, gradient

STEPS, DECAY, PATH = 50, 0.75, 4.0  # of the ascent: steps, momentum, length of the path in eps
STARTS = 6  # ascents before the first annealing
HALVINGS = 5  # of the size of a scaled step, along an ascent
OFFERED = 5  # steps after which the searches see a point


@dataclass
class Climber:
    """Ascents of all samples that still stand.

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
        """Several ascents before turn 0, one before every second turn."""
        for _ in range(STARTS if number == 0 else int(number % 2 == 0)):
            rows = [row for row, search in enumerate(self.searches) if not search.broken]
            if rows and time.process_time() < deadline:
                self._ascend(rows)
                self.done += 1

    def _ascend(self, rows: list[int]) -> None:
        x, labels = self.x[rows], self.labels[rows]
        low, high = (torch.from_numpy(part).view_as(x) for part in corners(x.numpy(), self.epsilon))
        generator = torch.Generator().manual_seed(1000 + self.done)
        z = x.clone()
        if self.done % 2:
            z = low + (high - low) * torch.rand(x.shape, generator=generator)
        loss, mixed = ("margin", "ce")[self.done // 3 % 2], self.done % 5 == 4
        momentum, squares, shown, total = (torch.zeros_like(x) for _ in range(4))
        scaled = self.done % 4 in (1, 2)
        for step in range(STEPS):
            surrogate = SURROGATES[(self.done + (step if mixed else 0)) % len(SURROGATES)]
            found = gradient(self.classifier, z, labels, surrogate, loss)
            shown += found.abs()
            total += found
            found = found / found.abs().flatten(1).mean(1).clamp_min(1e-12).view(-1, 1, 1, 1)
            if scaled:
                momentum, squares = 0.5 * momentum + found, 0.8 * squares + found.square()
                size = self.epsilon * 0.5 ** (HALVINGS * step / STEPS)
                move = (momentum / squares.sqrt().clamp_min(1e-9)).clamp(-1, 1)
            else:
                momentum = DECAY * momentum + found
                size, move = PATH * self.epsilon / STEPS, momentum.sign()
            z = (z + size * move).clamp(low, high)
            if step % OFFERED == OFFERED - 1:
                for place, row in enumerate(rows):
                    if not self.searches[row].broken:
                        self.searches[row].offer(self.state, z[place].flatten().numpy())
        for place, row in enumerate(rows):
            gradients, sizes = (part[place].flatten().double().numpy() for part in (total, shown))
            self.searches[row].see(gradients, sizes)
