"""How budgets of one kind compare: size, a share of one, one inside another."""

from __future__ import annotations

from dataclasses import replace

from neurorobust.types import Budget, ImageBudget, PatchBudget, ShiftBudget, SpikeBudget


def size(budget: Budget) -> float:
    """A number to order budgets of one kind by: eps, flips, moves or area."""
    if isinstance(budget, ImageBudget):
        return budget.epsilon
    if isinstance(budget, SpikeBudget):
        return float(budget.flips)
    if isinstance(budget, ShiftBudget):
        limits = [limit for limit in (budget.total, budget.spikes) if limit is not None]
        return float(min(limits)) if limits else float(budget.reach)
    return float(budget.height * budget.width)


def contains(large: Budget, small: Budget) -> bool:
    """Whether everything inside `small` is also inside `large`, as far as their limits say."""
    if isinstance(large, ImageBudget) and isinstance(small, ImageBudget):
        return large.norm == small.norm and small.epsilon <= large.epsilon
    if isinstance(large, SpikeBudget) and isinstance(small, SpikeBudget):
        return (
            small.flips <= large.flips
            and _within(small.insertions, large.insertions, small.flips)
            and _within(small.deletions, large.deletions, small.flips)
            and large.channel in (None, small.channel)
            and large.rows in (None, small.rows)
            and large.columns in (None, small.columns)
        )
    if isinstance(large, ShiftBudget) and isinstance(small, ShiftBudget):
        return (
            small.reach <= large.reach
            and _within(small.total, large.total, None)
            and _within(small.spikes, large.spikes, None)
        )
    if isinstance(large, PatchBudget) and isinstance(small, PatchBudget):
        return small.height <= large.height and small.width <= large.width
    return False


def _within(small: int | None, large: int | None, otherwise: int | None) -> bool:
    """One limit inside another; None: no limit, that is `otherwise` for the small one."""
    if large is None:
        return True
    known = small if small is not None else otherwise
    return known is not None and known <= large


def whole(budget: Budget) -> bool:
    """Whether its size is counted, not measured."""
    return not isinstance(budget, ImageBudget) or budget.norm == "l0"


def resized(budget: Budget, value: float) -> Budget | None:
    """The same budget of another `size`; None where one number does not say which."""
    if isinstance(budget, ImageBudget):
        return replace(budget, epsilon=value)
    if isinstance(budget, SpikeBudget):
        capped = budget.insertions is not None and budget.deletions is not None
        return None if capped else replace(budget, flips=int(value))
    if isinstance(budget, ShiftBudget):
        if budget.total is not None and budget.spikes is not None:
            return None
        if budget.spikes is not None:
            return replace(budget, spikes=int(value))
        if budget.total is not None:
            return replace(budget, total=int(value))
        return replace(budget, reach=int(value))
    return None


def scaled(budget: Budget, share: float) -> Budget:
    """A share of a budget, rounded down where it is counted; a patch stays as it is."""
    value = size(budget) * share
    found = resized(budget, float(int(value)) if whole(budget) else value)
    return budget if found is None else found
