"""Flips of binary entries: an L0 budget with sides and a region."""

from __future__ import annotations

import torch
from torch import Tensor

from neurorobust.types import SpikeBudget


def project_spikes(proposal: Tensor, x: Tensor, budget: SpikeBudget) -> tuple[Tensor, Tensor]:
    """Keep the first changed entries (C, H, W, time order) that are allowed, take others back.

    What lies outside the region goes first; then insertions and deletions beyond their own limits;
    then flips beyond the common one. Any such choice is a nearest one; this one is fixed.
    """
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
    mask = torch.zeros_like(x, dtype=torch.bool)
    channels = slice(None) if budget.channel is None else slice(budget.channel, budget.channel + 1)
    rows, columns = slice(*(budget.rows or (None,))), slice(*(budget.columns or (None,)))
    mask[:, channels, rows, columns] = True
    if budget.insertions == 0:
        mask &= x != 0
    if budget.deletions == 0:
        mask &= x == 0
    return mask
