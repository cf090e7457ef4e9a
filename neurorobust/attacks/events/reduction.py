"""Fewer flips: take back what is not needed."""

from __future__ import annotations

import torch
from torch import Tensor

from neurorobust.attacks.flip_queries import FlipQueries
from neurorobust.attacks.index_lists import first, listed, marked, ranked


def reduce(flip_queries: FlipQueries, mask: Tensor, rows: Tensor) -> Tensor:
    """Take flips back as long as the samples stay broken.

    The effect of a flip is what the margin loses when it alone is taken back. In each round the
    flips are sorted by it, ascending, and a binary search finds how many of the first can be taken
    back together; the last round finds none. Then no single flip can be spared.

    Paper: the reduction of SDA (Lun et al., CVPR 2025). Our form: effects are measured at the found
    point, not when a flip was made, and again after every round.

    Args:
        flip_queries: asked.
        mask: flips bool `[n, entries]`; samples that they do not break keep theirs.
        rows: int64 `[n]`, the samples.

    Returns:
        bool `[n, entries]`.
    """
    mask = mask.clone()
    active = (flip_queries(mask, rows).broken > 0).nonzero().flatten()
    while len(active):
        spare = _spared(flip_queries, mask[active], rows[active])
        mask[active] &= ~spare
        active = active[spare.any(1)]
    return mask


def _spared(flip_queries: FlipQueries, mask: Tensor, rows: Tensor) -> Tensor:
    """Those of the least effective flips that can be taken back together: bool, as mask."""
    places = listed(mask)
    broken, margin = flip_queries.with_one_more(mask, rows, places)
    ascending = places.gather(1, ranked(broken, margin))
    low = broken.any(1).long()  # so many can be spared: one, where one could
    high = (places >= 0).sum(1)  # so many cannot: all of them
    while bool((high - low > 1).any()):
        middle = (low + high) // 2
        holds = (
            flip_queries(mask & ~marked(first(ascending, middle), mask.shape[1]), rows).broken > 0
        )
        searching = high - low > 1
        low = torch.where(searching & holds, middle, low)
        high = torch.where(searching & ~holds, middle, high)
    return marked(first(ascending, low), mask.shape[1])
