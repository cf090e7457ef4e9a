"""One rectangle of the sensor, anywhere."""

from __future__ import annotations

import torch
from torch import Tensor

from neurorobust.types import PatchBudget


def project_patch(proposal: Tensor, x: Tensor, budget: PatchBudget) -> tuple[Tensor, Tensor]:
    """Keep what changed inside the rectangle with the most changed entries, take back the rest.

    Of equal rectangles the topmost counts, of these the leftmost.
    """
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
