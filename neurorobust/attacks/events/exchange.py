"""Local search among flips: swap one for another, or make do with one less."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.feasible import Feasible
from neurorobust.attacks.flip_queries import FlipQueries
from neurorobust.attacks.index_lists import listed, marked, ranked, top

# what flips of x (bool `[n, entries]`, of these samples, int64 `[n]`) promise: `[n, entries]`
Rank = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Exchange:
    """The best of all single additions, removals and swaps, again and again. Ours.

    Of the flips that could go the `pool` least effective are tried, of those that could come the
    `pool` that promise most: at most `(pool + 1) ** 2` questions a round and sample.

    Attributes:
        flip_queries: asked.
        feasible: of the whole batch; nothing outside is tried.
        rank: what an entry promises.
        rounds: at most, for each search.
        pool: see above.
    """

    flip_queries: FlipQueries
    feasible: Feasible
    rank: Rank
    rounds: int
    pool: int

    def improve(self, mask: Tensor, rows: Tensor, most: Tensor) -> Tensor:
        """Search until broken, or until nothing tried has a larger margin.

        Args:
            mask: flips bool `[n, entries]` inside the budget.
            rows: int64 `[n]`, the samples.
            most: int64 `[n]`, flips that each may have (at least those of mask).

        Returns:
            bool `[n, entries]`, standing no worse than mask.
        """
        mask = mask.clone()
        standing = self.flip_queries(mask, rows)
        margin = standing.margin.clone()
        active = (standing.broken == 0).nonzero().flatten()
        for _ in range(self.rounds):
            if not len(active):
                break
            tries, owner = self._tries(mask[active], rows[active], most[active])
            found = self.flip_queries(tries, rows[active][owner])
            going = []
            for place, sample in enumerate(active.tolist()):
                own = (owner == place).nonzero().flatten()
                if not len(own):
                    continue
                best = own[ranked(found.broken[own], found.margin[own])[0]]
                broken, better = found.broken[best] > 0, found.margin[best] > margin[sample]
                if broken or better:
                    mask[sample], margin[sample] = tries[best], found.margin[best]
                if better and not broken:
                    going.append(sample)
            active = torch.tensor(going, dtype=torch.int64)
        return mask

    def shrink(self, mask: Tensor, rows: Tensor) -> Tensor:
        """One flip less at a time: drop the least effective, and mend by `improve` what that broke.

        Args:
            mask: flips bool `[n, entries]` inside the budget; samples that they do not break keep
                theirs.
            rows: int64 `[n]`, the samples.
        """
        mask = mask.clone()
        active = (
            ((self.flip_queries(mask, rows).broken > 0) & (mask.sum(1) > 1)).nonzero().flatten()
        )
        while len(active):
            flat, who = mask[active], rows[active]
            fewer = flat & ~marked(self._weakest(flat, who, 1), flat.shape[1])
            fewer = self.improve(fewer, who, fewer.sum(1))
            holds = self.flip_queries(fewer, who).broken > 0
            mask[active[holds]] = fewer[holds]
            active = active[holds & (fewer.sum(1) > 1)]
        return mask

    def _weakest(self, mask: Tensor, rows: Tensor, count: int) -> Tensor:
        """Places of the flips whose loss hurts least, `[n, count]`."""
        places = listed(mask)
        if not places.shape[1]:
            return places
        broken, margin = self.flip_queries.with_one_more(mask, rows, places)
        return places.gather(1, ranked(broken, margin))[:, :count]

    def _tries(self, mask: Tensor, rows: Tensor, most: Tensor) -> tuple[Tensor, Tensor]:
        """Every neighbour that is tried, bool `[tries, entries]`, and whose it is."""
        promise = self.rank(mask, rows).masked_fill(mask, -torch.inf)
        come = top(promise.masked_fill(~self.feasible.allowed[rows], -torch.inf), self.pool)
        go = self._weakest(mask, rows, self.pool)
        # every pair of a flip that goes and one that comes; -1 in the first column: none of either,
        # so that pairs with it only drop a flip or only add one
        none = torch.full((len(mask), 1), -1)
        come, go = torch.cat([none, come], 1), torch.cat([none, go], 1)
        pairs = torch.cartesian_prod(torch.arange(go.shape[1]), torch.arange(come.shape[1]))
        both = torch.stack([go[:, pairs[:, 0]], come[:, pairs[:, 1]]], 2)  # [n, pairs, 2]
        # a pair with a -1 behind the first column is padding of a shorter list
        real = (both >= 0).any(2) & ~((both < 0) & (pairs[None] > 0)).any(2)
        owner, pair = real.nonzero(as_tuple=True)
        tries = mask[owner] ^ marked(both[owner, pair], mask.shape[1])
        fits = self.feasible.rows(rows[owner]).inside(tries) & (tries.sum(1) <= most[owner])
        return tries[fits], owner[fits]
