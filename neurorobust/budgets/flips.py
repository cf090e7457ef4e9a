"""`--flips`: flips of binary entries, an L0 budget with sides and a region.

Typed as 10, insert=5, delete=5, insert=5+delete=3, 10+channel=1 or 10+rows=2:8+columns=2:8.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from neurorobust.budgets.base import Budget, BudgetKind, Scale, count, fields, taken, within
from neurorobust.errors import BadInput

if TYPE_CHECKING:  # options and cards name budgets without torch
    from torch import Tensor

SCALE = Scale(
    name="",
    symbol="flips",
    grows="the number of flips",
    axis="spikes flipped",
    how="how many input spikes may be flipped",
    may="add or remove up to {} input spikes (L0)",
    under="with up to {} of input spikes",
    legend="flips: how many input spikes may be added or removed",
    parts={
        "insert": "insert: how many may be added",
        "delete": "delete: how many may be removed",
        "channel": "channel: the only one that may change",
        "rows": "rows: those that may change, the last one excluded",
        "columns": "columns: those that may change, the last one excluded",
    },
)


@dataclass(frozen=True)
class SpikeBudget(Budget):
    """How many entries of one binary spike tensor may flip: an L0 budget.

    Attributes:
        flips: entries that may change in all.
        insertions, deletions: of these, at most so many 0 -> 1 and 1 -> 0; None: up to `flips`.
        channel: only entries of this channel (polarity of an event camera); None: of any.
        rows, columns: only entries with first <= row < last (likewise columns); None: anywhere.
    """

    flips: int
    insertions: int | None = None
    deletions: int | None = None
    channel: int | None = None
    rows: tuple[int, int] | None = None
    columns: tuple[int, int] | None = None
    kind = "flips"

    def __post_init__(self) -> None:
        for name in ("flips", "insertions", "deletions", "channel"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise BadInput(f"budget: {name} {value} below 0")
        for name in ("rows", "columns"):
            span = getattr(self, name)
            if span is not None and not 0 <= span[0] < span[1]:
                raise BadInput(f"budget: {name} {span[0]}:{span[1]} is empty or below 0")

    @property
    def size(self) -> float:
        """Flips in all."""
        return float(self.flips)

    @property
    def scale(self) -> Scale:
        """All flips are one."""
        return SCALE

    def contains(self, small: Budget) -> bool:
        """No limit of the small one is wider."""
        return (
            isinstance(small, SpikeBudget)
            and small.flips <= self.flips
            and within(small.insertions, self.insertions, small.flips)
            and within(small.deletions, self.deletions, small.flips)
            and self.channel in (None, small.channel)
            and self.rows in (None, small.rows)
            and self.columns in (None, small.columns)
        )

    def resized(self, value: float) -> SpikeBudget | None:
        """None where both sides are limited."""
        capped = self.insertions is not None and self.deletions is not None
        return None if capped else replace(self, flips=int(value))

    def project(self, proposal: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """The first changed entries that are allowed."""
        return project_spikes(proposal, x, self)


def parse(text: str) -> SpikeBudget:
    """`10`, `insert=5+delete=3`, `10+channel=1`, `10+rows=2:8+columns=0:4`.

    Raises:
        BadInput: not of that form, or below 0.
    """
    first, _, rest = text.partition("+")
    total = None if "=" in first else count("flips", text, first)
    words = fields("flips", text, text if total is None else rest)
    span = taken(words, ("rows", "columns"), lambda value: _span(text, value))
    counts = taken(
        words, ("insert", "delete", "channel"), lambda value: count("flips", text, value)
    )
    if words:
        raise BadInput(f"flips {text!r}: {next(iter(words))!r} unknown")
    one_sided = "insert" in counts or "delete" in counts
    if total is None and not one_sided:
        raise BadInput(f"flips {text!r}: says no number, need for example 10 or insert=5+delete=3")
    insertions, deletions = counts.get("insert"), counts.get("delete")
    if one_sided:
        insertions, deletions = insertions or 0, deletions or 0
        total = insertions + deletions if total is None else total
    assert total is not None
    return SpikeBudget(
        total, insertions, deletions, counts.get("channel"), span.get("rows"), span.get("columns")
    )


def _span(text: str, value: str) -> tuple[int, int]:
    first, colon, last = value.partition(":")
    if not colon:
        raise BadInput(f"flips {text!r}: {value!r} is no range, need for example 2:8")
    return count("flips", text, first), count("flips", text, last)


def words(typed: str) -> str:
    """`1 flip`, `12 flips`, from the number as typed."""
    return f"{typed} flip" + ("" if typed == "1" else "s")


KIND = BudgetKind(
    budget=SpikeBudget,
    domain="spikes",
    examples=("10", "insert=5+delete=3", "10+channel=1", "10+rows=2:8+columns=0:4"),
    option="Spikes that may flip: 10,50 or insert=5+delete=3.",
    about="spikes made or deleted, in all, by side, of one channel, in one region",
    heading="Attacks on spikes and events that flip entries",
    attack="sda",
    compared_by="spike-topk",
    parse=parse,
    words=words,
    scales=(SCALE,),
)


def project_spikes(proposal: Tensor, x: Tensor, budget: SpikeBudget) -> tuple[Tensor, Tensor]:
    """Keep the first changed entries (C, H, W, time order) that are allowed, take others back.

    What lies outside the region goes first; then insertions and deletions beyond their own limits;
    then flips beyond the common one. Any such choice is a nearest one; this one is fixed.
    """
    import torch

    changed = proposal != x
    kept = (changed & allowed(x, budget)).flatten(1)
    spikes = (x != 0).flatten(1)
    for side, limit in ((~spikes, budget.insertions), (spikes, budget.deletions)):
        if limit is not None:
            kept &= ~side | ((kept & side).cumsum(1) <= limit)
    kept &= kept.cumsum(1) <= budget.flips
    outside = (changed.flatten(1) & ~kept).any(1)
    return torch.where(kept.view(x.shape), proposal, x), outside


def allowed(x: Tensor, budget: SpikeBudget) -> Tensor:
    """Bool of x's shape: entries that may flip at all, by side, channel, rows and columns."""
    import torch

    mask = torch.zeros_like(x, dtype=torch.bool)
    channels = slice(None) if budget.channel is None else slice(budget.channel, budget.channel + 1)
    rows, columns = slice(*(budget.rows or (None,))), slice(*(budget.columns or (None,)))
    mask[:, channels, rows, columns] = True
    if budget.insertions == 0:
        mask &= x != 0
    if budget.deletions == 0:
        mask &= x == 0
    return mask
