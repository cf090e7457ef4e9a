"""Moves between the corners of an L-infinity ball, judged by exact queries; see `corner_search`."""

from __future__ import annotations

import torch
from torch import Tensor

from neurorobust.attacks.best import Standing
from neurorobust.attacks.exact import Exact
from neurorobust.attacks.sample_random import SampleGenerators
from neurorobust.budgets import ImageBudget, project

FEW = 3  # entries exchanged at a time, at most
CHEAP = 3.0  # exponent: how much rather those that cost little; 1: any


class Corners:
    """The search of some samples from one start each; each sample's draws are its own.

    Attributes:
        samples: int64 `[n]`, the numbers of the samples in the batch; rows below are places in it.
        now: float32 `[n, entries]`, the best point of each sample.
        broken, score: how it stands, see `Exact`.
        change: float64 `[n, entries]`, what each entry's own move last did to the score.

    Args:
        exact: answers.
        samples: see above.
        begin: where they start, `[n, C, H, W]`.
        x: the samples.
        budget: L-infinity, around x.
        generators: the batch's random numbers.
        pool: proposals of a sample asked at once.
    """

    def __init__(
        self,
        exact: Exact,
        samples: Tensor,
        begin: Tensor,
        x: Tensor,
        budget: ImageBudget,
        generators: SampleGenerators,
        pool: int,
    ) -> None:
        self.exact, self.samples, self.generators, self.shape = exact, samples, generators, x.shape
        self.before = exact.used[samples]
        self.low = project(x - 2 * budget.epsilon, x, budget)[0].flatten(1)
        self.high = project(x + 2 * budget.epsilon, x, budget)[0].flatten(1)
        self.now, start = begin.flatten(1).clone(), x.flatten(1)
        everyone = torch.arange(len(x), device=x.device)
        self.broken, self.score = exact(begin, samples)
        self.change = torch.zeros(start.shape, dtype=torch.float64, device=x.device)
        self.pool = min(pool, start.shape[1])
        self._settle(everyone, torch.where(self.now >= start, self.high, self.low)[:, None])

    def run(self, queries: int, trial: int, hope: float) -> Tensor:
        """Until every sample is broken, given up or out of queries.

        Args:
            queries: of one sample, at most (times the draws of a random encoder).
            trial: so many queries decide whether it goes on.
            hope: it does unless it lacks more than so many times what they gained.

        Returns:
            bool `[n]`: given up.
        """
        entries, device = self.now.shape[1], self.now.device
        order = self.generators.uniform(entries, rows=self.samples).argsort(1).to(device)
        first, judged = self.score.clone(), torch.zeros(len(order), dtype=torch.bool, device=device)
        given_up: Tensor = judged.clone()
        place, quiet = torch.zeros((2, len(order)), dtype=torch.long, device=device)
        turn = torch.arange(self.pool, device=device)
        while True:
            used = self.exact.used[self.samples] - self.before
            due = ~judged & (used >= trial * self.exact.draws)
            judged |= due
            given_up |= due & (self.broken < 1) & (-self.score > hope * (self.score - first))
            going = used + (self.pool + 1) * self.exact.draws <= queries
            going &= ~given_up & (self.broken < 1)
            if not bool(going.any()):
                return given_up
            one = (going & (quiet < entries)).nonzero().flatten()
            if len(one):
                asked = order[one].gather(1, (place[one, None] + turn) % entries)
                raised = self._one_by_one(one, asked)
                place[one] += self.pool
                quiet[one] = torch.where(raised, 0, quiet[one] + self.pool)
            few = (going & (quiet >= entries)).nonzero().flatten()
            if len(few):
                quiet[few] = torch.where(self._a_few(few), 0, quiet[few])

    def standing(self) -> Standing:
        """How the best points stand, float32."""
        return Standing(self.broken.float(), self.score.float())

    def _one_by_one(self, rows: Tensor, places: Tensor) -> Tensor:
        """Move each of `places` `[n, k]` alone, keep what helps; bool `[n]`: something did."""
        now, far, before = self.now[rows], self._far(rows), self.score[rows]
        alone = _mask(places[..., None], now.shape[1])
        gain = self._settle(rows, torch.where(alone, far[:, None], now[:, None])) - before[:, None]
        self.change[rows[:, None], places] = gain
        helped = gain > 0
        together = (alone & helped[..., None]).any(1)
        joint = ((helped.sum(1) > 1) & (self.broken[rows] < 1)).nonzero().flatten()
        if len(joint):
            self._settle(rows[joint], torch.where(together, far, now)[joint, None])
        return helped.any(1)

    def _a_few(self, rows: Tensor) -> Tensor:
        """Move two or three at a time, those that cost little rather; bool `[n]`: it helped."""
        now, far, before = self.now[rows], self._far(rows), self.score[rows]
        entries = now.shape[1]
        coins = self.generators.uniform(self.pool, FEW + 1, rows=self.samples[rows]).to(now.device)
        rank = (entries * coins[..., :FEW] ** CHEAP).long().clamp_max(entries - 1)
        cheap = self.change[rows].argsort(dim=1, descending=True, stable=True)
        places = cheap.gather(1, rank.flatten(1)).view(rank.shape)
        pair = coins[..., FEW:] < 0.5
        places = torch.where(pair, places[..., :2].repeat(1, 1, 2)[..., :FEW], places)
        mask = _mask(places, entries)
        self._settle(rows, torch.where(mask, far[:, None], now[:, None]))
        return self.score[rows] > before

    def _far(self, rows: Tensor) -> Tensor:
        """The corner that each entry does not sit at, of those inside the farther one."""
        now, low, high = self.now[rows], self.low[rows], self.high[rows]
        return torch.where(now - low > high - now, low, high)

    def _settle(self, rows: Tensor, points: Tensor) -> Tensor:
        """Ask about `points` `[n, k, entries]` and go to the best unless it is worse: scores."""
        each = self.samples[rows].repeat_interleave(points.shape[1])
        broken, score = self.exact(points.reshape(-1, *self.shape[1:]), each)
        broken, score = broken.view(points.shape[:2]), score.view(points.shape[:2])
        most = broken.amax(1, keepdim=True)
        best = score.masked_fill(broken < most, -torch.inf).argmax(1, keepdim=True)
        best_broken, best_score = (value.gather(1, best)[:, 0] for value in (broken, score))
        tie = best_broken == self.broken[rows]
        better = (best_broken > self.broken[rows]) | (tie & (best_score >= self.score[rows]))
        chosen = points[torch.arange(len(rows), device=rows.device), best[:, 0]]
        self.now[rows[better]] = chosen[better]
        self.broken[rows[better]] = best_broken[better]
        self.score[rows[better]] = best_score[better]
        return score


def _mask(places: Tensor, entries: int) -> Tensor:
    """Entries `[n, k, m]` -> bool `[n, k, entries]`, true at the m places of each."""
    mask = torch.zeros((*places.shape[:2], entries), dtype=torch.bool, device=places.device)
    return mask.scatter_(2, places, True)
