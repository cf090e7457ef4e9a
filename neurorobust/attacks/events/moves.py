"""Spikes moved in time, one by one, inside a shift budget."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.index_lists import top
from neurorobust.budgets import Budget, ShiftBudget
from neurorobust.errors import BadInput


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
        """See `Edits.come`; no spike passes another one, which two moves can do as well."""
        found = torch.full((len(rows), count, 2), -1, dtype=torch.int64)
        shifts = torch.tensor([*range(-self.reach, 0), *range(1, self.reach + 1)])
        for place, row in enumerate(rows.tolist()):
            old, new, low, high = self._trains(self.spikes[row], self.spikes[row] ^ mask[place])
            far = (new - old).abs()
            target = old[:, None] + shifts
            free = (target >= low[:, None]) & (target <= high[:, None]) & (target != new[:, None])
            if self.budget.total is not None:
                free &= far.sum() - far[:, None] + shifts.abs() <= self.budget.total
            if self.budget.spikes is not None:
                free &= ((far > 0).sum() - (far > 0).long() < self.budget.spikes)[:, None]
            target = target.clamp(0, mask.shape[1] - 1)
            if among is not None:
                free &= among[place, target]
            gain = slope[place, target] - slope[place, new, None]
            order = top(gain.masked_fill(~free, -torch.inf).flatten()[None], count)[0]
            order = order[order >= 0]
            edits = torch.stack([new[order // len(shifts)], target.flatten()[order]], 1)
            found[place, : len(edits)] = edits
        return found

    def gone(self, mask: Tensor, rows: Tensor, slope: Tensor, count: int) -> Tensor:
        """See `Edits.gone`; a spike whose way back is not free stays."""
        back = []
        for place, row in enumerate(rows.tolist()):
            old, new, low, high = self._trains(self.spikes[row], self.spikes[row] ^ mask[place])
            able = (old != new) & (old >= low) & (old <= high)
            old, new = old[able], new[able]
            order = (slope[place, old] - slope[place, new]).argsort(
                dim=0, descending=True, stable=True
            )
            back.append(torch.stack([new, old], 1)[order[:count]])
        if not back:
            return torch.full((0, 0, 2), -1)
        return torch.nn.utils.rnn.pad_sequence(back, batch_first=True, padding_value=-1)

    def _trains(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of one sample, spike by spike: where it was, where it is, and between what it is free."""
        old, new = before.nonzero().flatten(), after.nonzero().flatten()
        start = new - new % self.steps
        low, high = start.clone(), start + self.steps - 1
        low[1:] = torch.maximum(low[1:], new[:-1] + 1)
        high[:-1] = torch.minimum(high[:-1], new[1:] - 1)
        return old, new, low, high

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
