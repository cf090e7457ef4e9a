"""Occlusion: a square of one grey level laid over the image, anywhere."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks import norms
from neurorobust.attacks.images.autoattack import positive
from neurorobust.attacks.oracle import Done, Oracle
from neurorobust.attacks.queries import report
from neurorobust.budgets import Budget
from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput
from neurorobust.types import Labels


@dataclass(frozen=True)
class Occlusion:
    """The k x k window and grey level that hurt most, of all positions; k^2 <= the L0 budget.

    Every position and level is asked for once, in random order where `queries` are fewer.
    Papers: windows of one level: Zeiler & Fergus, ECCV 2014 (there to explain); as an attack within
    an L0 budget: our form.
    Threat model: score-based, L0 (pixels, all channels of one place); any backend.

    Attributes:
        name: on the command line and in records.
        levels: grey levels, in [0, 1].
        queries: of one sample, at most.

    Raises:
        BadInput: no query, or a level outside [0, 1].
    """

    name: str = "occlusion"
    levels: tuple[float, ...] = (0.0, 0.5, 1.0)
    queries: int = 5000
    norms = ("l0",)
    kind = "eps"
    access = "score"
    control = False

    def __post_init__(self) -> None:
        positive(self, "queries")
        if not self.levels or not all(0 <= level <= 1 for level in self.levels):
            raise BadInput(f"{self.name}: levels {self.levels}, need some in [0, 1]")

    def __call__(
        self,
        classifier: Classifier,
        x: Tensor,
        labels: Labels,
        budget: Budget,
        generator: torch.Generator,
    ) -> Tensor:
        """Propose images `[batch, C, H, W]` in [0, 1].

        Raises:
            BadInput: not an L0 budget.
        """
        budget = norms.image_budget(self.name, budget, self.norms)
        if budget.epsilon < 1 or not len(x):
            return x.clone()
        oracle = Oracle(classifier, x, labels, budget, generator, limit=self.queries)
        height, width = window(budget.epsilon, x.shape[2], x.shape[3])
        with suppress(Done), torch.no_grad():
            for top, left, level in self._places(x, height, width, generator):
                covered = x.clone()
                covered[:, :, top : top + height, left : left + width] = level
                oracle(covered)
        report(classifier, oracle.used)
        return oracle.best.x

    def _places(
        self, x: Tensor, height: int, width: int, generator: torch.Generator
    ) -> Iterator[tuple[int, int, float]]:
        down, across = x.shape[2] - height + 1, x.shape[3] - width + 1
        order = torch.randperm(down * across * len(self.levels), generator=generator)
        for number in order.tolist():
            place, level = divmod(number, len(self.levels))
            yield place // across, place % across, self.levels[level]


def window(epsilon: float, rows: int, columns: int) -> tuple[int, int]:
    """The largest square of at most `epsilon` pixels, cut to an image of rows x columns.

    An image of one line (features of a dense input) is covered by a piece of it.
    """
    side = math.isqrt(int(epsilon))
    if rows == 1 or columns == 1:
        return min(rows, int(epsilon)), min(columns, int(epsilon))
    return min(rows, side), min(columns, side)
