"""The only place that decides whether a proposal can be scored."""

from __future__ import annotations

import torch
from torch import Tensor


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
