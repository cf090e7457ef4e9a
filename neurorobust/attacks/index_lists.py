"""Boolean masks as padded lists of indices, and back."""

from __future__ import annotations

import torch
from torch import Tensor


def listed(mask: Tensor) -> Tensor:
    """The places that are true, in order: int64 `[n, most]`, filled up with -1."""
    rows, entries = mask.nonzero(as_tuple=True)
    counts = torch.bincount(rows, minlength=len(mask))
    most = int(counts.max()) if len(mask) else 0
    places = torch.full((len(mask), most), -1, dtype=torch.int64)
    rank = torch.arange(len(rows)) - (counts.cumsum(0) - counts)[rows]
    places[rows, rank] = entries
    return places


def marked(places: Tensor, entries: int) -> Tensor:
    """The other way: bool `[n, entries]`; places below 0 mark nothing."""
    mask = torch.zeros(len(places), entries + 1, dtype=torch.bool)
    mask.scatter_(1, torch.where(places < 0, entries, places), True)
    return mask[:, :entries]


def top(score: Tensor, count: int) -> Tensor:
    """Places of the `count` largest scores of a row, largest first, -1 where minus infinity."""
    found = score.topk(min(count, score.shape[1]), dim=1)
    return found.indices.masked_fill(found.values == -torch.inf, -1)


def first(places: Tensor, count: Tensor) -> Tensor:
    """Only the first `count` (one a row) of each row's places."""
    beyond = torch.arange(places.shape[1]) >= count[:, None]
    return places.masked_fill(beyond, -1)


def ranked(broken: Tensor, margin: Tensor) -> Tensor:
    """Order along the last axis: what is broken first, then by margin, largest first."""
    by_margin = margin.argsort(dim=-1, descending=True, stable=True)
    again = broken.gather(-1, by_margin).int().argsort(dim=-1, descending=True, stable=True)
    return by_margin.gather(-1, again)
