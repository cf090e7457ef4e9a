"""`--shifts`: spikes move along their line (channel, row, column), none is made or lost.

Typed as reach=2, reach=3+spikes=4 or reach=3+total=10.

Spikes are alike, so a proposal does not say which spike went where. Of one line the first spike
becomes the first, the second the second: no other pairing needs a smaller reach or a smaller sum of
moves. (One that lets spikes overtake each other may move fewer; a budget counts without it.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from neurorobust.budgets.base import Budget, BudgetKind, Scale, count, fields, taken, within
from neurorobust.errors import BadInput

if TYPE_CHECKING:  # options and cards name budgets without torch
    from torch import Tensor

SCALE = Scale(
    name="",
    symbol="shifts",
    grows="the size of shifts",
    axis="size of the shifts",
    how="how input spikes may be moved in time",
    may="move input spikes in time by {}",
    under="with {} of input spikes",
    legend="shifts: input spikes may move in time",
    parts={
        "reach": "reach: by at most so many time steps",
        "spikes": "spikes: so many of them",
        "total": "total: so many time steps, summed over them",
    },
)


@dataclass(frozen=True)
class ShiftBudget(Budget):
    """How spikes may be retimed: each keeps its line (channel, row, column), none is made or lost.

    Attributes:
        reach: steps by which one spike may move at most, either way (B-infinity).
        total: sum of all moves at most (B1); None: any.
        spikes: number of spikes that may move at most (B0); None: any.
    """

    reach: int
    total: int | None = None
    spikes: int | None = None
    kind = "shifts"

    def __post_init__(self) -> None:
        for name in ("reach", "total", "spikes"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise BadInput(f"budget: {name} {value} below 0")

    @property
    def size(self) -> float:
        """The tighter of `total` and `spikes`; the reach where neither is limited."""
        limits = [limit for limit in (self.total, self.spikes) if limit is not None]
        return float(min(limits)) if limits else float(self.reach)

    @property
    def scale(self) -> Scale:
        """All shifts are one."""
        return SCALE

    def contains(self, small: Budget) -> bool:
        """No limit of the small one is wider."""
        return (
            isinstance(small, ShiftBudget)
            and small.reach <= self.reach
            and within(small.total, self.total)
            and within(small.spikes, self.spikes)
        )

    def resized(self, value: float) -> ShiftBudget | None:
        """Of the limit that is its size; None where both `total` and `spikes` are limited."""
        if self.total is not None and self.spikes is not None:
            return None
        if self.spikes is not None:
            return replace(self, spikes=int(value))
        if self.total is not None:
            return replace(self, total=int(value))
        return replace(self, reach=int(value))

    def project(self, proposal: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Shorter moves, and fewer."""
        return project_shifts(proposal, x, self)


def parse(text: str) -> ShiftBudget:
    """`reach=2`, `reach=3+spikes=4`, `reach=3+total=10`.

    Raises:
        BadInput: not of that form, or below 0.
    """
    words = fields("shifts", text, text)
    counts = taken(words, ("reach", "spikes", "total"), lambda value: count("shifts", text, value))
    if words or "reach" not in counts:
        raise BadInput(f"shifts {text!r}: need for example reach=2 or reach=3+spikes=4")
    return ShiftBudget(counts["reach"], counts.get("total"), counts.get("spikes"))


KIND = BudgetKind(
    budget=ShiftBudget,
    domain="spikes",
    examples=("reach=2", "reach=3+spikes=4", "reach=3+total=10"),
    option="How spikes may move: reach=2 or reach=3+spikes=4.",
    about="spikes moved in time, by so many steps, so many of them or so far in all",
    heading="Attacks on spikes and events that move them in time",
    attack="retiming",
    compared_by="retiming",
    parse=parse,
    words="shifts {}".format,
    scales=(SCALE,),
)


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
    import torch

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
    import torch

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
    import torch

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
    import torch

    found = torch.zeros(batch, dtype=torch.bool, device=mask.device)
    found[sample[mask]] = True
    return found
