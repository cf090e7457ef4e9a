"""Spikes moved in time, one by one, inside a shift budget."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.events.edits import toggled
from neurorobust.attacks.places import top
from neurorobust.errors import BadInput
from neurorobust.types import Budget, ShiftBudget


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
