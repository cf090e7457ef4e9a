"""Retiming: spikes move along their line (channel, row, column), none is made or lost.

Spikes are alike, so a proposal does not say which spike went where. Of one line the first spike
becomes the first, the second the second: no other pairing needs a smaller reach or a smaller sum of
moves. (One that lets spikes overtake each other may move fewer; a budget counts without it.)
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from neurorobust.types import ShiftBudget


@dataclass(frozen=True)
class Moves:
    """Every spike of a batch, in sample, C, H, W, time order.

    Attributes:
        line: int64 `[spikes]`, number of its line, `sample * lines + line of the sample`.
        sample: int64 `[spikes]`.
        before, after: int64 `[spikes]`, its step in x and in the proposal.
        broken: bool `[batch]`, some line of the sample has gained or lost spikes; such lines are
            listed as if they had not moved.
    """

    line: Tensor
    sample: Tensor
    before: Tensor
    after: Tensor
    broken: Tensor

    @property
    def by(self) -> Tensor:
        """Steps moved, later above 0, `[spikes]`."""
        return self.after - self.before


def moves(proposal: Tensor, x: Tensor) -> Moves:
    """Which spike went where.

    Args:
        proposal: binary `[batch, C, H, W, time]`.
        x: likewise.
    """
    batch, steps = len(x), x.shape[-1]
    old, new = (x != 0).reshape(-1, steps), (proposal != 0).reshape(-1, steps)
    unequal = old.sum(1) != new.sum(1)
    new = torch.where(unequal[:, None], old, new)
    line, before = old.nonzero(as_tuple=True)
    after = new.nonzero(as_tuple=True)[1]
    lines = len(old) // max(batch, 1)
    sample = line // max(lines, 1)
    return Moves(line, sample, before, after, unequal.view(batch, -1).any(1))


def project_shifts(proposal: Tensor, x: Tensor, budget: ShiftBudget) -> tuple[Tensor, Tensor]:
    """Lines with another count go back to x; moves beyond the reach become moves by the reach.

    Beyond `total` or `spikes` groups of spikes that stand in each other's way are kept in C, H, W,
    time order while they fit; one that is too long for what is left of `total` moves as far as
    that allows; others go back.
    """
    found = moves(proposal, x)
    by = found.by.clamp(-budget.reach, budget.reach)
    outside = found.broken | _any(by != found.by, found.sample, len(x))
    over = torch.zeros_like(outside)
    for cost, limit in ((by.abs(), budget.total), ((by != 0).long(), budget.spikes)):
        if limit is not None:
            spent = torch.zeros(len(x), dtype=torch.long, device=x.device)
            over |= spent.scatter_add_(0, found.sample, cost) > limit
    for row in over.nonzero().flatten().tolist():
        own = found.sample == row
        by[own] = _fit(found.line[own], found.before[own], by[own], budget)
    flat = torch.zeros_like(x).reshape(-1, x.shape[-1])
    flat[found.line, found.before + by] = 1
    return flat.view(x.shape), outside | over


def _fit(line: Tensor, before: Tensor, by: Tensor, budget: ShiftBudget) -> Tensor:
    """One sample's moves, cut to the budget's total and number."""
    after = before + by
    apart = (line[1:] != line[:-1]) | ((after[:-1] < before[1:]) & (before[:-1] < after[1:]))
    ends = [0, *(apart.nonzero().flatten() + 1).tolist(), len(by)]
    kept = torch.zeros_like(by)
    inf = float("inf")
    steps = inf if budget.total is None else budget.total
    spikes = inf if budget.spikes is None else budget.spikes
    for first, last in pairwise(ends):
        group = by[first:last]
        while int(group.abs().sum()) > steps:
            longest = int(group.abs().max()) - 1
            group = group.clamp(-longest, longest)
        if int((group != 0).sum()) <= spikes:
            kept[first:last] = group
            steps -= int(group.abs().sum())
            spikes -= int((group != 0).sum())
    return kept


def _any(mask: Tensor, sample: Tensor, batch: int) -> Tensor:
    """Bool `[batch]`: true for any of a sample's spikes."""
    found = torch.zeros(batch, dtype=torch.bool, device=mask.device)
    found[sample[mask]] = True
    return found
