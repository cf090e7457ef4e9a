"""Single edits of a binary tensor that a search chooses from: here flips; moves.py has moves.

A state is a mask of flipped entries, bool `[n, entries]`; an edit is the few entries that it
toggles on top, int64, filled up with -1; the last one is where it ends. A search (edit_search.py)
knows no budget: it asks here what may come, what may go, and whether all of it is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from neurorobust.attacks.feasible import Feasible
from neurorobust.attacks.index_lists import top


class Edits(Protocol):
    """What one budget allows on one batch."""

    @property
    def most(self) -> int:
        """Edits of one sample at most, whatever the samples."""
        ...

    def come(
        self, mask: Tensor, rows: Tensor, slope: Tensor, count: int, among: Tensor | None = None
    ) -> Tensor:
        """The edits that promise most on top of a state, the most promising first.

        Args:
            mask: bool `[n, entries]`, inside the budget.
            rows: int64 `[n]`, the samples.
            slope: `[n, entries]`, of what is maximised, by the entry.
            count: of a sample at most.
            among: bool `[n, entries]`, where an edit may end; None: anywhere.

        Returns:
            int64 `[n, k, w]`; each alone is inside the budget on top of the state.
        """
        ...

    def gone(self, mask: Tensor, rows: Tensor, slope: Tensor, count: int) -> Tensor:
        """What takes back one edit each, the least missed first: int64 `[n, k, w]`, as above."""
        ...

    def inside(self, mask: Tensor, rows: Tensor) -> Tensor:
        """Bool `[n]`: whether all of a state is in the budget."""
        ...


def toggled(mask: Tensor, edits: Tensor) -> Tensor:
    """States with their edits on top.

    Args:
        mask: bool `[n, entries]`.
        edits: int64 `[n, w]`, no entry twice in a row; below 0: nothing.
    """
    after = mask.clone()
    owner, column = (edits >= 0).nonzero(as_tuple=True)
    after[owner, edits[owner, column]] ^= True
    return after


def together(mask: Tensor, edits: Tensor) -> Tensor:
    """States with all edits of a row (int64 `[n, k]`, -1: none); twice the same entry cancels."""
    after = mask.clone()
    for place, row in enumerate(edits):
        entries, times = row[row >= 0].unique(return_counts=True)
        after[place, entries[times % 2 == 1]] ^= True
    return after


@dataclass(frozen=True)
class Flips:
    """Edits of a `SpikeBudget`: one entry each."""

    feasible: Feasible

    @property
    def most(self) -> int:
        """See `Edits.most`."""
        return min(self.feasible.budget.flips, self.feasible.spikes.shape[1])

    def come(
        self, mask: Tensor, rows: Tensor, slope: Tensor, count: int, among: Tensor | None = None
    ) -> Tensor:
        """See `Edits.come`; a flip that is made already is not offered."""
        budget, spikes = self.feasible.budget, self.feasible.spikes[rows]
        free = self.feasible.allowed[rows] & ~mask & (mask.sum(1) < budget.flips)[:, None]
        for side, most in ((False, budget.insertions), (True, budget.deletions)):
            if most is not None:
                full = (mask & (spikes == side)).sum(1) >= most
                free &= ~(full[:, None] & (spikes == side))
        if among is not None:
            free &= among
        promise = torch.where(spikes ^ mask, -slope, slope)
        return top(promise.masked_fill(~free, -torch.inf), count)[:, :, None]

    def gone(self, mask: Tensor, rows: Tensor, slope: Tensor, count: int) -> Tensor:
        """See `Edits.gone`."""
        promise = torch.where(self.feasible.spikes[rows] ^ mask, -slope, slope)
        return top(promise.masked_fill(~mask, -torch.inf), count)[:, :, None]

    def inside(self, mask: Tensor, rows: Tensor) -> Tensor:
        """See `Edits.inside`."""
        return self.feasible.rows(rows).inside(mask)
