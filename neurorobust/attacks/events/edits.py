"""Changes of a binary tensor that count as one: a flip, or a spike moved in time.

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
from neurorobust.attacks.places import top
from neurorobust.errors import BadInput
from neurorobust.types import Budget, ShiftBudget


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


@dataclass(frozen=True)
class Moves:
    """Edits of a `ShiftBudget`: one spike leaves its step for a free one of the same line.

    What a state costs is counted afresh: the spikes of a line before and after are paired in their
    order, which is the cheapest pairing there is.

    Attributes:
        spikes: x as bool `[batch, entries]`.
        steps: of time, the last axis of an entry.
        budget: reach, total and number of moves.
    """

    spikes: Tensor
    steps: int
    budget: ShiftBudget

    @staticmethod
    def of(name: str, x: Tensor, budget: Budget) -> Moves:
        """Those of x, uint8 `[batch, C, H, W, time]`.

        Raises:
            BadInput: not a shift budget.
        """
        if not isinstance(budget, ShiftBudget):
            raise BadInput(f"{name}: needs a budget on shifts, got {budget}")
        return Moves(x.flatten(1).bool(), x.shape[-1], budget)

    @property
    def reach(self) -> int:
        """Steps of one move at most."""
        limits = (self.budget.reach, self.steps - 1, self.budget.total)
        return min(limit for limit in limits if limit is not None)

    @property
    def most(self) -> int:
        """See `Edits.most`."""
        entries = self.spikes.shape[1] if self.reach else 0
        limits = (entries // 2, self.budget.spikes, self.budget.total)
        return min(limit for limit in limits if limit is not None)

    def come(
        self, mask: Tensor, rows: Tensor, slope: Tensor, count: int, among: Tensor | None = None
    ) -> Tensor:
        """See `Edits.come`; twice as many are looked at, those outside the budget are dropped."""
        found = torch.full((len(rows), count, 2), -1, dtype=torch.int64)
        shifts = torch.tensor([*range(-self.reach, 0), *range(1, self.reach + 1)])
        for place, row in enumerate(rows.tolist()):
            now = self.spikes[row] ^ mask[place]
            spike = now.nonzero().flatten()
            time = spike[:, None] % self.steps + shifts
            target = (spike[:, None] + shifts).clamp(0, len(now) - 1)
            free = (time >= 0) & (time < self.steps) & ~now[target]
            if among is not None:
                free &= among[place, target]
            gain = slope[place, target] - slope[place, spike, None]
            order = top(gain.masked_fill(~free, -torch.inf).flatten()[None], 2 * count)[0]
            order = order[order >= 0]
            edits = torch.stack([spike[order // len(shifts)], target.flatten()[order]], 1)
            states = toggled(mask[place].expand(len(edits), -1), edits)
            edits = edits[self.inside(states, torch.full((len(edits),), row))][:count]
            found[place, : len(edits)] = edits
        return found

    def gone(self, mask: Tensor, rows: Tensor, slope: Tensor, count: int) -> Tensor:
        """See `Edits.gone`; a spike whose own step another one has taken stays."""
        back = []
        for place, row in enumerate(rows.tolist()):
            now = self.spikes[row] ^ mask[place]
            old, new = self.spikes[row].nonzero().flatten(), now.nonzero().flatten()
            moved = (old != new) & ~now[old]
            old, new = old[moved], new[moved]
            order = (slope[place, old] - slope[place, new]).argsort(
                dim=0, descending=True, stable=True
            )
            back.append(torch.stack([old, new], 1)[order[:count]])
        if not back:
            return torch.full((0, 0, 2), -1)
        return torch.nn.utils.rnn.pad_sequence(back, batch_first=True, padding_value=-1)

    def inside(self, mask: Tensor, rows: Tensor) -> Tensor:
        """See `Edits.inside`."""
        before = self.spikes[rows]
        after = before ^ mask
        fits: Tensor = (self._lines(before) == self._lines(after)).all(1)
        rest = fits.nonzero().flatten()
        owner, old = before[rest].nonzero(as_tuple=True)
        far = (after[rest].nonzero(as_tuple=True)[1] - old).abs()
        none = torch.zeros(len(rest), dtype=torch.int64)
        fits[rest] &= none.scatter_reduce(0, owner, far, "amax") <= self.budget.reach
        for limit, cost in ((self.budget.total, far), (self.budget.spikes, (far > 0).long())):
            if limit is not None:
                fits[rest] &= none.scatter_add(0, owner, cost) <= limit
        return fits

    def _lines(self, spikes: Tensor) -> Tensor:
        lines = spikes.shape[1] // max(self.steps, 1)
        return spikes.view(len(spikes), lines, self.steps).sum(2)
