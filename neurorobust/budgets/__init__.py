"""What one sample may change, one kind a file.

A kind says how its budgets are typed, which is the larger one, and which point of a budget stands
for a proposal: inside in exact arithmetic; what is inside already comes back as it is, bit for bit.
Attacks that project at every step and the evaluation, which projects whatever an attack proposes,
use the same rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurorobust.budgets import flips, images, patches, shifts
from neurorobust.budgets.base import Budget, BudgetKind, Scale
from neurorobust.budgets.flips import SpikeBudget, allowed
from neurorobust.budgets.images import NORMS, ROUNDING, ImageBudget
from neurorobust.budgets.patches import PatchBudget
from neurorobust.budgets.shifts import ShiftBudget, moves
from neurorobust.errors import BadInput
from neurorobust.support.names import unknown

if TYPE_CHECKING:
    from torch import Tensor

_ALL = (images.KIND, flips.KIND, shifts.KIND, patches.KIND)
KINDS: dict[str, BudgetKind] = {kind.name: kind for kind in _ALL}


def parse(kind: str, text: str) -> Budget:
    """A budget of one of `KINDS`, as typed.

    Raises:
        BadInput: not a budget of that kind, or an unknown kind.

    Example:
        >>> parse("eps", "l2:0.5")
        ImageBudget(epsilon=0.5, norm='l2')
    """
    if kind not in KINDS:
        raise BadInput(unknown("budget", kind, KINDS))
    return KINDS[kind].parse(text.strip())


def project(proposal: Tensor, x: Tensor, budget: Budget) -> tuple[Tensor, Tensor]:
    """The point of the budget that stands for the proposal.

    Args:
        proposal: finite images or binary spikes, of x's shape and dtype; left as it is.
        x: images `[batch, C, H, W]` in [0, 1], or spikes uint8 `[batch, C, H, W, time]`.
        budget: around x.

    Returns:
        the projected proposal, and bool `[batch]`: it lay outside (beyond rounding of floats).
    """
    return budget.project(proposal, x)


def inside(proposal: Tensor, x: Tensor, budget: Budget) -> Tensor:
    """Bool `[batch]`: the proposal lies in the budget, in exact arithmetic."""
    return (project(proposal, x, budget)[0] == proposal).flatten(1).all(1)


__all__ = [
    "KINDS",
    "NORMS",
    "ROUNDING",
    "Budget",
    "BudgetKind",
    "ImageBudget",
    "PatchBudget",
    "Scale",
    "ShiftBudget",
    "SpikeBudget",
    "allowed",
    "inside",
    "moves",
    "parse",
    "project",
]
