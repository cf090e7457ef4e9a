"""The only place that decides whether a proposal is valid and inside its budget."""

from __future__ import annotations

import torch
from torch import Tensor

from neurorobust.errors import BadInput
from neurorobust.types import Budget, ImageBudget, SpikeBudget

SLACK = 1e-6  # a proposal that leaves an L-infinity ball by less was rounded, not cheated


def sift(proposal: object, x: Tensor) -> tuple[Tensor, Tensor]:
    """Separate what can be scored from what cannot.

    Args:
        proposal: what an attack returned.
        x: images (float) or spikes (uint8) it started from.

    Returns:
        the proposal in x's dtype with x in the place of every unusable sample, and bool `[batch]`:
        unusable (not finite, not binary where x is spikes; all where the shape is wrong).
    """
    if not isinstance(proposal, Tensor) or proposal.shape != x.shape:
        return x.clone(), torch.ones(len(x), dtype=torch.bool)
    flat = proposal.detach().flatten(1)
    sound = torch.isfinite(flat) if x.is_floating_point() else (flat == 0) | (flat == 1)
    failed = ~sound.all(1)
    shape = (-1, *[1] * (x.dim() - 1))
    return torch.where(failed.view(shape), x, proposal.detach()).to(x.dtype), failed


def project(proposal: Tensor, x: Tensor, budget: Budget) -> tuple[Tensor, Tensor]:
    """The point of the budget that stands for the proposal.

    Returns:
        the projected proposal, and bool `[batch]`: it lay outside (beyond rounding).
    """
    if isinstance(budget, ImageBudget) and budget.norm == "linf":
        return project_images(proposal, x, budget)
    if isinstance(budget, SpikeBudget):
        return project_spikes(proposal, x, budget)
    raise BadInput(f"budget {budget}: nothing projects into it")


def project_images(proposal: Tensor, x: Tensor, budget: ImageBudget) -> tuple[Tensor, Tensor]:
    """Clip to `[x - eps, x + eps]` and to [0, 1].

    The bounds are computed in float64 and rounded inward to float32: in exact arithmetic the result
    is never farther than eps from x.
    """
    exact = x.to(torch.float64)
    low = _inward((exact - budget.epsilon).clamp_min(0), torch.inf)
    high = _inward((exact + budget.epsilon).clamp_max(1), -torch.inf)
    outside = (proposal < low - SLACK) | (proposal > high + SLACK)
    return torch.minimum(torch.maximum(proposal, low), high), outside.flatten(1).any(1)


def project_spikes(proposal: Tensor, x: Tensor, budget: SpikeBudget) -> tuple[Tensor, Tensor]:
    """Keep the first `flips` changed entries (C, H, W, time order), take the others back."""
    changed = (proposal != x).flatten(1)
    count = changed.cumsum(1)
    kept = (changed & (count <= budget.flips)).view(x.shape)
    return torch.where(kept, proposal, x), changed.sum(1) > budget.flips


def _inward(bound: Tensor, toward: float) -> Tensor:
    """float64 -> the nearest float32 that is not beyond it, seen from the inside."""
    rounded = bound.to(torch.float32)
    beyond = rounded > bound if toward < 0 else rounded < bound
    return torch.where(beyond, torch.nextafter(rounded, torch.full_like(rounded, toward)), rounded)
