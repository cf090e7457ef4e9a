"""The best proposal that an attack has seen, for each sample."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.base import Proposal


@dataclass(frozen=True)
class Standing:
    """How near proposals come to a misclassification.

    Attributes:
        broken: share of the queries that were misclassified `[batch]` (0 or 1 where there was one).
        margin: mean margin `[batch]`.
    """

    broken: Tensor
    margin: Tensor

    @staticmethod
    def nothing(x: Tensor) -> Standing:
        """Zeros, to add to."""
        return Standing(torch.zeros(len(x), device=x.device), torch.zeros(len(x), device=x.device))

    def __add__(self, other: Standing) -> Standing:
        return Standing(self.broken + other.broken, self.margin + other.margin)

    def __truediv__(self, count: int) -> Standing:
        return Standing(self.broken / count, self.margin / count)

    def above(self, other: Standing) -> Tensor:
        """Bool `[batch]`: misclassified more often, or as often and by a larger margin."""
        tie = self.broken == other.broken
        return (self.broken > other.broken) | (tie & (self.margin > other.margin))


@dataclass
class Best:
    """The best proposal seen for each sample; on ties the first one wins.

    Attributes:
        x: the best so far.
        standing: its.
        origin: where an attack starts, which is no find unless it is misclassified itself; so who
            proposes it was shown nothing else. None: any point is one.
    """

    x: Tensor
    standing: Standing
    origin: Tensor | None = None

    @staticmethod
    def start(x: Tensor, *, origin_counts: bool = False) -> Best:
        """Holds x itself, with the worst standing: any other proposal is better."""
        worst = torch.full((len(x),), -torch.inf, device=x.device)
        origin = None if origin_counts else x.clone()
        return Best(x.clone(), Standing(worst, worst.clone()), origin)

    def update(self, x: Tensor, standing: Standing, rows: Tensor | None = None) -> None:
        """Keep, sample by sample, what is better.

        Args:
            x: proposals.
            standing: theirs.
            rows: int64, which samples they are of; None: all, in order.
        """
        rows = torch.arange(len(self.x), device=x.device) if rows is None else rows
        before = Standing(self.standing.broken[rows], self.standing.margin[rows])
        better = standing.above(before)
        if self.origin is not None:
            moved = (x != self.origin[rows]).flatten(1).any(1)
            better &= moved | (standing.broken >= 1)
        self.x[rows[better]] = x[better]
        self.standing.broken[rows[better]] = standing.broken[better]
        self.standing.margin[rows[better]] = standing.margin[better]

    def proposal(self) -> Proposal:
        """Claims what was misclassified in more than half of its own queries."""
        return Proposal(self.x, self.standing.broken > 0.5)
