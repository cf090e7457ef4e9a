"""Fewer flips by asking for labels only: take random groups back, as long as it stays broken."""

from __future__ import annotations

import torch
from torch import Tensor

from neurorobust.attacks.flip_queries import FlipQueries
from neurorobust.attacks.index_lists import first, listed, marked
from neurorobust.attacks.sample_random import SampleGenerators


def restore(
    flip_queries: FlipQueries, mask: Tensor, generators: SampleGenerators, queries: Tensor
) -> Tensor:
    """Take flips back in random groups: half of them first, half as many after a refusal.

    After a success the group is twice as large again. Once every flip was refused on its own, none
    can be spared and the sample is done.
    Source: the pointwise attack of Schott et al., ICLR 2019, which restores single pixels in random
    order; groups are ours.

    Args:
        flip_queries: asked, one label a sample and round.
        mask: flips bool `[batch, entries]`; samples that they do not break keep theirs (one
            question).
        generators: of the batch.
        queries: int64 `[batch]`, the most that a sample may be asked about.

    Returns:
        bool `[batch, entries]`.
    """
    mask = mask.clone()
    start = (queries > 0).nonzero().flatten()
    broken = flip_queries(mask[start], start).broken > 0
    left = queries.clone()
    left[start] -= 1
    active = start[broken]
    group = (mask.sum(1) // 2).clamp_min(1)
    refused = torch.zeros_like(mask)
    while True:
        active = active[(left[active] > 0) & (mask[active] & ~refused[active]).any(1)]
        if not len(active):
            return mask
        places = listed(mask[active])
        keys = generators.counted((places >= 0).sum(1), active)[0]
        known = refused[active].gather(1, places.clamp_min(0)) & (group[active] == 1)[:, None]
        order = keys.masked_fill((places < 0) | known, -1.0).argsort(1, descending=True)
        back = marked(first(places.gather(1, order), group[active]), mask.shape[1])
        holds = flip_queries(mask[active] & ~back, active).broken > 0
        left[active] -= 1
        mask[active] &= ~(back & holds[:, None])
        alone = ~holds & (group[active] == 1)
        refused[active] |= back & alone[:, None]
        size = torch.where(holds, group[active] * 2, group[active] // 2)
        group[active] = torch.minimum(size, mask[active].sum(1) - 1).clamp_min(1)
