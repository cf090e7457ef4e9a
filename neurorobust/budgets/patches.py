"""`--patches`: one rectangle of the sensor, anywhere. Typed as 5x5, height x width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from neurorobust.budgets.base import Budget, BudgetKind, Scale, count
from neurorobust.errors import BadInput

if TYPE_CHECKING:  # options and cards name budgets without torch
    from torch import Tensor

SCALE = Scale(
    name="",
    symbol="patch",
    grows="the patch",
    axis="area of the patch",
    how="the rectangle of the sensor that may change",
    may="change everything in a rectangle of {}",
    under="with {} of input spikes",
    legend="patch: height x width of the one rectangle in which every spike may change",
)


@dataclass(frozen=True)
class PatchBudget(Budget):
    """One rectangle of the sensor in which any entry, of any channel and step, may change.

    Attributes:
        height, width: of the rectangle, in pixels; where it lies is the adversary's choice.
    """

    height: int
    width: int
    kind = "patches"

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            if getattr(self, name) < 0:
                raise BadInput(f"budget: patch {name} {getattr(self, name)} below 0")

    @property
    def size(self) -> float:
        """The area."""
        return float(self.height * self.width)

    @property
    def scale(self) -> Scale:
        """All patches are one."""
        return SCALE

    def contains(self, small: Budget) -> bool:
        """The small one fits in."""
        return (
            isinstance(small, PatchBudget)
            and small.height <= self.height
            and small.width <= self.width
        )

    def project(self, proposal: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """What changed inside the rectangle that holds most of it."""
        return project_patch(proposal, x, self)


def parse(text: str) -> PatchBudget:
    """`5x5`: height x width.

    Raises:
        BadInput: not of that form, or below 0.
    """
    height, cross, width = text.partition("x")
    if not cross:
        raise BadInput(f"patches {text!r}: need height x width, for example 5x5")
    return PatchBudget(count("patches", text, height), count("patches", text, width))


KIND = BudgetKind(
    budget=PatchBudget,
    domain="spikes",
    examples=("5x5",),
    option="Rectangles of the sensor: 5x5.",
    about="one rectangle of the sensor, all channels and steps",
    heading="Attacks on events within a rectangle",
    attack="patch-universal",
    compared_by="patch-universal",
    parse=parse,
    words="a {} patch".format,
    scales=(SCALE,),
)


def project_patch(proposal: Tensor, x: Tensor, budget: PatchBudget) -> tuple[Tensor, Tensor]:
    """Keep what changed inside the rectangle with the most changed entries, take back the rest.

    Of equal rectangles the topmost counts, of these the leftmost.
    """
    import torch

    height, width = min(budget.height, x.shape[2]), min(budget.width, x.shape[3])
    if height == 0 or width == 0:
        return x.clone(), (proposal != x).flatten(1).any(1)
    top, left = place(proposal != x, height, width)
    rows = torch.arange(x.shape[2], device=x.device)
    columns = torch.arange(x.shape[3], device=x.device)
    down = (rows >= top[:, None]) & (rows < top[:, None] + height)
    across = (columns >= left[:, None]) & (columns < left[:, None] + width)
    within = down[:, :, None] & across[:, None, :]
    within = within.view(len(x), 1, *within.shape[1:], *[1] * (x.dim() - 4))
    projected = torch.where(within, proposal, x)
    return projected, (projected != proposal).flatten(1).any(1)


def place(changed: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Top row and left column `[batch]` of the rectangle that holds the most.

    Args:
        changed: bool or counts `[batch, C, H, W, ...]`.
        height: of the rectangle, 1 to H.
        width: likewise.
    """
    import torch

    counts = changed.long().flatten(4).sum(-1) if changed.dim() > 4 else changed.long()
    sums = torch.nn.functional.pad(counts.sum(1), (1, 0, 1, 0)).cumsum(1).cumsum(2)
    held = (
        sums[:, height:, width:]
        - sums[:, :-height, width:]
        - sums[:, height:, :-width]
        + sums[:, :-height, :-width]
    )
    flat = held.flatten(1)
    best = ((flat == flat.amax(1, keepdim=True)).cumsum(1) == 0).sum(1)  # the first of equals
    return best // held.shape[2], best % held.shape[2]
