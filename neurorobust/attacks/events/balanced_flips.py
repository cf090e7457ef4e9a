"""Random flips in which deletions are as frequent as insertions, although spikes are rare."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.feasible import Feasible
from neurorobust.attacks.index_lists import first, listed, marked
from neurorobust.attacks.sample_random import SampleGenerators


def balanced(
    feasible: Feasible, generators: SampleGenerators, rows: Tensor | None = None
) -> Tensor:
    """Random scores `[n, entries]` for `Feasible.choose`: both sides come up equally often.

    The largest keys log(u) / w are a draw without replacement with weights w (Efraimidis &
    Spirakis, 2006); an entry weighs 1 / (number of allowed entries of its side).

    Args:
        feasible: of the whole batch.
        generators: likewise.
        rows: int64 `[n]`, the samples; all by default.
    """
    rows = torch.arange(len(feasible)) if rows is None else rows
    own = feasible.rows(rows)
    keys = generators.uniform(own.spikes.shape[1], rows=rows).clamp_min(1e-30).log()
    deletions = (own.spikes & own.allowed).sum(1, keepdim=True)
    insertions = (~own.spikes & own.allowed).sum(1, keepdim=True)
    return keys * torch.where(own.spikes, deletions, insertions)


@dataclass(frozen=True)
class Exchanged:
    """Some flips of a set exchanged for others, drawn at random.

    What comes is an insertion or a deletion with equal probability. With a limit on either side
    a flip is exchanged for one of its own side, so that the set stays inside the budget.

    Attributes:
        feasible: of the whole batch.
        generators: likewise.
        places: allowed entries, silent ones and spikes, each `[batch, most]` (see `listed`).
        counts: how many there are, int64 `[2, batch]`.
    """

    feasible: Feasible
    generators: SampleGenerators
    places: tuple[Tensor, Tensor]
    counts: Tensor

    @staticmethod
    def of(feasible: Feasible, generators: SampleGenerators) -> Exchanged:
        """For one attack call."""
        sides = (feasible.allowed & ~feasible.spikes, feasible.allowed & feasible.spikes)
        counts = torch.stack([side.sum(1) for side in sides])
        return Exchanged(feasible, generators, (listed(sides[0]), listed(sides[1])), counts)

    def __call__(self, mask: Tensor, rows: Tensor, share: float) -> Tensor:
        """Another set of as many flips.

        Args:
            mask: flips bool `[n, entries]`.
            rows: int64 `[n]`, the samples.
            share: of the flips that go, at least one; one that would come twice, or already is
                there, does not, and the one it was drawn for stays.
        """
        here = listed(mask)
        most = max(1, round(share * here.shape[1]))
        coins = self.generators.counted((here >= 0).sum(1), rows, parts=3)
        going = (share * mask.sum(1)).round().clamp_min(1).long()
        order = coins[0].argsort(1, descending=True)[:, :most]
        go = first(here.gather(1, order), going)
        come = self._drawn(go, rows, coins[1, :, :most], coins[2, :, :most])
        new = (come >= 0) & (go >= 0) & ~mask.gather(1, come.clamp_min(0)) & ~_repeated(come)
        both = torch.cat([go.masked_fill(~new, -1), come.masked_fill(~new, -1)], 1)
        return mask ^ marked(both, mask.shape[1])

    def _drawn(self, go: Tensor, rows: Tensor, side_coin: Tensor, place_coin: Tensor) -> Tensor:
        """An allowed entry for each that goes, -1 where there is none."""
        silent, spikes = (count[rows, None].expand_as(go) for count in self.counts)
        side = side_coin < 0.5
        side = torch.where(spikes == 0, False, torch.where(silent == 0, True, side))
        budget = self.feasible.budget
        if budget.insertions is not None or budget.deletions is not None:
            side = self.feasible.spikes[rows].gather(1, go.clamp_min(0))
        come = torch.full_like(go, -1)
        for value, places, count in zip((False, True), self.places, (silent, spikes), strict=True):
            picked = (place_coin * count).long().clamp_max(count - 1)
            if places.shape[1]:
                found = places[rows].gather(1, picked.clamp_min(0))
                come = torch.where((side == value) & (count > 0), found, come)
        return come


def _repeated(places: Tensor) -> Tensor:
    """Bool: the same place stands before, in the same row."""
    ordered, order = places.sort(dim=1, stable=True)
    again = torch.zeros_like(places, dtype=torch.bool)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    return torch.zeros_like(again).scatter_(1, order, again)
