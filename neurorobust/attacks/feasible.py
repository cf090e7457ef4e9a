"""Which flips of a binary tensor a spike budget allows, and the best set of them by a score."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.budgets import Budget, SpikeBudget
from neurorobust.errors import BadInput


@dataclass(frozen=True)
class Feasible:
    """The flips of one batch that lie inside a budget. Entries are in C, H, W, time order.

    Attributes:
        budget: all of it: number, sides, channel and region.
        spikes: x as bool `[batch, entries]`.
        allowed: bool `[batch, entries]`: this entry may flip, alone.
    """

    budget: SpikeBudget
    spikes: Tensor
    allowed: Tensor

    @staticmethod
    def of(name: str, x: Tensor, budget: Budget) -> Feasible:
        """For spikes uint8 `[batch, C, H, W, time]`.

        Args:
            name: of the attack, for the error.
            x: what it starts from.
            budget: must be one on flips.

        Raises:
            BadInput: another kind of budget.
        """
        if not isinstance(budget, SpikeBudget):
            raise BadInput(f"{name}: needs a budget on spikes (flips), got {budget}")
        spikes = x.flatten(1).bool()
        allowed = region(x, budget).flatten().expand_as(spikes)
        if budget.flips == 0 or budget.insertions == 0:
            allowed = allowed & spikes
        if budget.flips == 0 or budget.deletions == 0:
            allowed = allowed & ~spikes
        return Feasible(budget, spikes, allowed)

    def __len__(self) -> int:
        return len(self.spikes)

    def rows(self, rows: Tensor) -> Feasible:
        """Only these samples (int64 indices, in this order)."""
        return Feasible(self.budget, self.spikes[rows], self.allowed[rows])

    def choose(self, score: Tensor, limit: int | Tensor | None = None) -> Tensor:
        """The flips inside the budget with the largest sum of scores.

        Limits on either side and on both together are nested, so that taking the largest first,
        each side its own, then of all that is left, is exact.

        Args:
            score: `[batch, entries]`; minus infinity: not wanted. Of equals the first is taken.
            limit: flips at most, below the budget's own (one number or one a sample); None: its.

        Returns:
            bool `[batch, entries]`, flips of x. As many as the budget allows, even where a score is
            negative.
        """
        score = score.masked_fill(~self.allowed, -torch.inf)
        for side, most in ((False, self.budget.insertions), (True, self.budget.deletions)):
            if most is not None:
                own = self.spikes == side
                taken = largest(score.masked_fill(~own, -torch.inf), most)
                score = score.masked_fill(own & ~taken, -torch.inf)
        most_of_all: int | Tensor = self.budget.flips
        if limit is not None:
            most_of_all = (
                limit.clamp_max(self.budget.flips)
                if isinstance(limit, Tensor)
                else min(limit, self.budget.flips)
            )
        return largest(score, most_of_all)

    def inside(self, mask: Tensor) -> Tensor:
        """Bool `[...]`: whether these flips (bool `[..., entries]`, as `spikes`) are in budget."""
        spikes = self.spikes
        fits = ~(mask & ~self.allowed).any(-1) & (mask.sum(-1) <= self.budget.flips)
        if self.budget.insertions is not None:
            fits &= (mask & ~spikes).sum(-1) <= self.budget.insertions
        if self.budget.deletions is not None:
            fits &= (mask & spikes).sum(-1) <= self.budget.deletions
        return fits


def region(x: Tensor, budget: SpikeBudget) -> Tensor:
    """Bool `[C, H, W, time]`: entries of the channel, rows and columns that the budget names."""
    inside = torch.zeros(x.shape[1:], dtype=torch.bool, device=x.device)
    channels = slice(None) if budget.channel is None else slice(budget.channel, budget.channel + 1)
    rows = slice(None) if budget.rows is None else slice(*budget.rows)
    columns = slice(None) if budget.columns is None else slice(*budget.columns)
    inside[channels, rows, columns] = True
    return inside


def largest(score: Tensor, count: int | Tensor) -> Tensor:
    """Mask of the `count` largest entries of each row; the lowest position wins a tie.

    Args:
        score: `[batch, entries]`; minus infinity is never taken.
        count: one number, or one a row `[batch]`.
    """
    batch, entries = score.shape
    if not isinstance(count, Tensor):
        count = torch.full((batch,), count, device=score.device)
    count = count.clamp(0, entries)
    most = int(count.max()) if batch else 0
    if most == 0:
        return torch.zeros_like(score, dtype=torch.bool)
    ordered = score.topk(most, dim=1).values
    last = ordered.gather(1, (count[:, None] - 1).clamp_min(0))
    above, level = score > last, score == last
    room = count[:, None] - above.sum(1, keepdim=True)
    taken = above | (level & (level.cumsum(1) <= room))
    return taken & (score > -torch.inf) & (count[:, None] > 0)


def flip(x: Tensor, mask: Tensor) -> Tensor:
    """These entries of x (bool `[batch, entries]`) flipped; x stays as it is."""
    return torch.where(mask.view(x.shape), 1 - x, x)
