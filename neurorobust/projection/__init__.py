"""What a budget allows: the point of it that stands for a proposal.

`project` gives for every sample a point that is inside in exact arithmetic; a proposal that is
inside already comes back as it is, bit for bit. Attacks that project at every step and the
evaluation, which projects whatever an attack proposes, use the same rules.
"""

from __future__ import annotations

from torch import Tensor

from neurorobust.projection.images import ROUNDING, project_images
from neurorobust.projection.patches import project_patch
from neurorobust.projection.shifts import moves, project_shifts
from neurorobust.projection.spikes import allowed, project_spikes
from neurorobust.types import Budget, ImageBudget, ShiftBudget, SpikeBudget


def project(proposal: Tensor, x: Tensor, budget: Budget) -> tuple[Tensor, Tensor]:
    """The point of the budget that stands for the proposal.

    Args:
        proposal: finite images or binary spikes, of x's shape and dtype; left as it is.
        x: images `[batch, C, H, W]` in [0, 1], or spikes uint8 `[batch, C, H, W, time]`.
        budget: around x.

    Returns:
        the projected proposal, and bool `[batch]`: it lay outside (beyond rounding of floats).
    """
    if isinstance(budget, ImageBudget):
        return project_images(proposal, x, budget)
    if isinstance(budget, SpikeBudget):
        return project_spikes(proposal, x, budget)
    if isinstance(budget, ShiftBudget):
        return project_shifts(proposal, x, budget)
    return project_patch(proposal, x, budget)


def inside(proposal: Tensor, x: Tensor, budget: Budget) -> Tensor:
    """Bool `[batch]`: the proposal lies in the budget, in exact arithmetic."""
    return (project(proposal, x, budget)[0] == proposal).flatten(1).all(1)


__all__ = [
    "ROUNDING",
    "allowed",
    "inside",
    "moves",
    "project",
    "project_images",
    "project_patch",
    "project_shifts",
    "project_spikes",
]
