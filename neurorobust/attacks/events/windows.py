"""Rectangles of the sensor."""

from __future__ import annotations

from torch import Tensor

from neurorobust.budgets import Budget, PatchBudget
from neurorobust.errors import BadInput

Window = tuple[slice, slice, slice]


def check_patch(name: str, x: Tensor, budget: Budget) -> tuple[int, int]:
    """Height and width of a patch budget, no larger than the sensor of x `[batch, C, H, W, time]`.

    Raises:
        BadInput: not a patch budget.
    """
    if not isinstance(budget, PatchBudget):
        raise BadInput(f"{name}: needs a budget on patches, got {budget}")
    return min(budget.height, x.shape[2]), min(budget.width, x.shape[3])


def window(top: int, left: int, height: int, width: int) -> Window:
    """Index of `[C, H, W, time]`: all channels and steps of a rectangle."""
    return slice(None), slice(top, top + height), slice(left, left + width)
