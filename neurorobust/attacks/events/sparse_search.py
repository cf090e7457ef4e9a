"""Random search among sparse flips, by scores alone: it runs on any backend."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.events.balanced_flips import Exchanged, balanced
from neurorobust.attacks.events.restore import restore
from neurorobust.attacks.feasible import Feasible, flip
from neurorobust.attacks.flip_queries import FlipQueries
from neurorobust.attacks.index_lists import listed, marked
from neurorobust.attacks.queries import report
from neurorobust.attacks.sample_random import SampleGenerators
from neurorobust.budgets import Budget
from neurorobust.classifier import Classifier
from neurorobust.types import Labels

# from this share of the queries on, this share of the flips is exchanged at once (at least one)
SCHEDULE = ((0.0, 0.8), (0.01, 0.4), (0.05, 0.2), (0.1, 0.1), (0.2, 0.05), (0.5, 0.0))


def share(done: float) -> float:
    """Of the flips, after this share of the queries: see `SCHEDULE`."""
    return next(part for start, part in reversed(SCHEDULE) if done >= start)


@dataclass(frozen=True)
class SparseSearch:
    """Random search: keep as many flips as allowed, exchange some for others, keep what is better.

    Square's twin for events. A sample has one set of flips; a query exchanges a share of it (large
    at first, one flip at the end) for others drawn at random, and the new set is kept if the margin
    is no smaller. Half of what is drawn are deletions, although spikes are rare. A sample that is
    broken is done, or (`fewest`) spends its other queries on fewer flips: takes back what is not
    needed (`restore`), drops one more and searches on with what is left, again and again.
    Paper: Croce et al., "Sparse-RS", AAAI 2022, for pixels. Our form: the balance of
    sides, the schedule, `fewest`.
    Threat model: score access, `queries` queries a sample, a `SpikeBudget`.

    Attributes:
        queries: at most, a sample.
        fewest: whether a broken sample goes on for fewer flips.
    """

    queries: int = 1000
    fewest: bool = False
    name = "sparse-search"
    kind = "flips"
    access = "score"
    control = False

    def __call__(
        self,
        classifier: Classifier,
        x: Tensor,
        labels: Labels,
        budget: Budget,
        generator: torch.Generator,
    ) -> Tensor:
        """Propose spikes uint8 `[batch, C, H, W, time]`.

        Raises:
            BadInput: not a spike budget.
        """
        feasible = Feasible.of(self.name, x, budget)
        if feasible.budget.flips == 0 or len(x) == 0:
            return x.clone()
        flip_queries = FlipQueries(classifier, x, labels, generator)
        generators = SampleGenerators(generator, len(x))
        draws = Exchanged.of(feasible, generators)
        mask = self._search(flip_queries, draws)
        if self.fewest:
            mask = restore(
                flip_queries, mask, generators, (self.queries - flip_queries.asked).clamp_min(0)
            )
            mask = self._fewer(flip_queries, draws, mask)
        report(classifier, flip_queries.asked)
        return flip(x, mask)

    def _search(self, flip_queries: FlipQueries, draws: Exchanged) -> Tensor:
        """Flips with a margin as large as could be found; a sample rests once it is broken."""
        mask = draws.feasible.choose(balanced(draws.feasible, draws.generators))
        standing = flip_queries(mask)
        margin = standing.margin.clone()
        active = (standing.broken == 0).nonzero().flatten()
        for query in range(1, self.queries):
            if not len(active):
                break
            tried = draws(mask[active], active, share(query / self.queries))
            found = flip_queries(tried, active)
            better = (found.margin >= margin[active]) | (found.broken > 0)
            mask[active[better]], margin[active[better]] = tried[better], found.margin[better]
            active = active[found.broken == 0]
        return mask

    def _fewer(self, flip_queries: FlipQueries, draws: Exchanged, mask: Tensor) -> Tensor:
        """Of the flips (those that break) as few as can be found with the queries left."""
        best, now = mask.clone(), mask.clone()
        margin = torch.full((len(mask),), -torch.inf)
        active = (flip_queries.asked < self.queries).nonzero().flatten()
        active = active[flip_queries(mask[active], active).broken > 0]
        now[active] = _without_one(mask[active], draws.generators, active)
        while True:
            active = active[(flip_queries.asked[active] < self.queries) & now[active].any(1)]
            if not len(active):
                return best
            tried = draws(now[active], active, 0.0)
            found = flip_queries(tried, active)
            broke, better = found.broken > 0, found.margin >= margin[active]
            now[active[better]], margin[active[better]] = tried[better], found.margin[better]
            done = active[broke]
            best[done], margin[done] = tried[broke], -torch.inf
            now[done] = _without_one(tried[broke], draws.generators, done)


def _without_one(mask: Tensor, generators: SampleGenerators, rows: Tensor) -> Tensor:
    """The flips (bool `[n, entries]`) less one, drawn at random."""
    places = listed(mask)
    keys = generators.counted((places >= 0).sum(1), rows)[0]
    gone = places.gather(1, keys.argmax(1, keepdim=True)) if places.shape[1] else places
    return mask & ~marked(gone, mask.shape[1])
