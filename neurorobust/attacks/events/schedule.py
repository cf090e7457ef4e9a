"""Assignment of spikes to new time steps inside a shift budget."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from neurorobust.budgets import Budget, ShiftBudget
from neurorobust.errors import BadInput
from neurorobust.types import Spikes

ROUNDS = 8  # of moves; one spike a line moves in each


@dataclass(frozen=True)
class Trains:
    """The spikes of a batch, one by one, and where each could go.

    A line is one channel, row and column of one sample. A move keeps the order of the spikes of its
    line (spikes are alike: passing another one is the same as pushing it on), so that pairing the
    spikes before and after in their order is pairing each with itself.

    Attributes:
        shape: of x, `[batch, C, H, W, time]`.
        budget: reach, total and number of moves.
        line: int64 `[spikes]`, `sample * C * H * W + ...`.
        time: int64 `[spikes]`.
        sample: int64 `[spikes]`.
        shifts: int64 `[2 * reach + 1]`, from -reach to reach.
        real: bool `[spikes, shifts]`: inside the window.
    """

    shape: torch.Size
    budget: ShiftBudget
    line: Tensor
    time: Tensor
    sample: Tensor
    shifts: Tensor
    real: Tensor

    @staticmethod
    def of(name: str, x: Spikes, budget: Budget) -> Trains:
        """Those of x, uint8 `[batch, C, H, W, time]`.

        Raises:
            BadInput: not a shift budget.
        """
        if not isinstance(budget, ShiftBudget):
            raise BadInput(f"{name}: needs a budget on shifts, got {budget}")
        steps = x.shape[-1]
        line, time = x.reshape(-1, steps).nonzero(as_tuple=True)
        reach = min(budget.reach, steps - 1)
        shifts = torch.arange(-reach, reach + 1)
        target = time[:, None] + shifts
        sample = line // max(x.shape[1:-1].numel(), 1)
        return Trains(x.shape, budget, line, time, sample, shifts, (target >= 0) & (target < steps))

    @property
    def still(self) -> int:
        """The column of shift 0."""
        return len(self.shifts) // 2

    @property
    def sparse(self) -> bool:
        """Whether the budget counts moves or their sum, not only how far each may go."""
        return self.budget.total is not None or self.budget.spikes is not None

    def share(self, part: float) -> Trains:
        """With that part of the budget's moves and their sum, rounded up; the reach stays."""
        total, spikes = (
            None if limit is None else math.ceil(limit * part)
            for limit in (self.budget.total, self.budget.spikes)
        )
        return replace(self, budget=replace(self.budget, total=total, spikes=spikes))

    def targets(self) -> Tensor:
        """Place of every (spike, shift) in the flattened `[lines, time]`; 0 where not real."""
        place = self.line[:, None] * self.shape[-1] + self.time[:, None] + self.shifts
        return place.masked_fill(~self.real, 0)

    def at(self, values: Tensor) -> Tensor:
        """Values `[batch, C, H, W, time]` at every target: `[spikes, shifts]`, 0 where not real."""
        return values.flatten()[self.targets()].masked_fill(~self.real, 0)

    def moved(self, preference: Tensor, gain: Tensor) -> tuple[Spikes, Tensor]:
        """The nearest feasible schedule: moves that are preferred, the most promising first.

        In each round every spike that has not moved yet proposes the shift that it prefers most
        (above staying) of those whose way is free; of each line the largest gain wins; then as many
        as the budget has left move, again by gain.

        Args:
            preference: `[spikes, shifts]`.
            gain: `[spikes, shifts]`, which moves are worth the budget.

        Returns:
            spikes uint8 of x's shape, as many on every line as before; and the shift of each spike,
            int64 `[spikes]`.
        """
        steps, batch = self.shape[-1], self.shape[0]
        occupied = torch.zeros(self.shape, dtype=torch.bool).view(-1, steps)
        occupied[self.line, self.time] = True
        shift = torch.zeros_like(self.time)
        budget = self.budget
        moves = torch.full((batch,), len(self.time) if budget.spikes is None else budget.spikes)
        way = torch.full((batch,), 1 << 40 if budget.total is None else budget.total)
        wants = self.real & (preference > preference[:, self.still, None])
        rows = wants.any(1).nonzero().flatten()
        for _ in range(ROUNDS):
            rows = rows[(shift[rows] == 0) & (moves > 0)[self.sample[rows]]]
            if not len(rows):
                break
            free = wants[rows] & self._free(occupied, rows)
            best = preference[rows].masked_fill(~free, -torch.inf).argmax(1)
            able = free.any(1).nonzero().flatten()
            rows, best = rows[able], best[able]
            worth = gain[rows, best]
            chosen = self._won(self.line[rows], worth)
            cost = self.shifts[best].abs()
            chosen = self._afforded(rows, chosen, worth, cost, moves, way)
            spikes, step = rows[chosen], self.shifts[best[chosen]]
            if not len(spikes):
                break
            occupied[self.line[spikes], self.time[spikes]] = False
            occupied[self.line[spikes], self.time[spikes] + step] = True
            shift[spikes] = step
            moves -= torch.bincount(self.sample[spikes], minlength=batch)
            way.index_add_(0, self.sample[spikes], -step.abs())
        return occupied.view(self.shape).to(torch.uint8), shift

    def _free(self, occupied: Tensor, rows: Tensor) -> Tensor:
        """Bool `[rows, shifts]`: no spike on the way nor at its end."""
        # spikes before each step, so that a difference of two entries counts those in between;
        # the way forward is time + 1 to the end, backward the end to time - 1
        before = torch.nn.functional.pad(occupied[self.line[rows]].int().cumsum(1), (1, 0))
        time = self.time[rows, None]
        end = (time + self.shifts).clamp(0, self.shape[-1] - 1)
        low = torch.where(self.shifts > 0, time + 1, end)
        high = torch.where(self.shifts > 0, end + 1, time)
        return before.gather(1, high) - before.gather(1, low.expand_as(high)) == 0

    def _won(self, line: Tensor, worth: Tensor) -> Tensor:
        """Indices of the most worthy proposal of each line; on ties the first one wins."""
        # sorted by line, and inside a line by worth: the first entry of each line has won
        order = worth.argsort(descending=True, stable=True)
        order = order[line[order].argsort(stable=True)]
        ordered = line[order]
        head = torch.ones_like(ordered, dtype=torch.bool)
        head[1:] = ordered[1:] != ordered[:-1]
        return order[head]

    def _afforded(
        self, rows: Tensor, chosen: Tensor, worth: Tensor, cost: Tensor, moves: Tensor, way: Tensor
    ) -> Tensor:
        """The chosen that the remaining budget affords, the most worthy first."""
        # sorted by sample, and inside a sample by worth; then each sample affords a prefix: `head`
        # is where it begins, `total` what its moves cost up to and with each
        chosen = chosen[worth[chosen].argsort(descending=True, stable=True)]
        chosen = chosen[self.sample[rows[chosen]].argsort(stable=True)]
        sample = self.sample[rows[chosen]]
        count = torch.bincount(sample, minlength=len(moves))
        head = count.cumsum(0) - count
        spent = torch.nn.functional.pad(cost[chosen].cumsum(0), (1, 0))
        place = torch.arange(len(chosen))
        total = spent[1:] - spent[head[sample]]
        return chosen[(place - head[sample] < moves[sample]) & (total <= way[sample])]
