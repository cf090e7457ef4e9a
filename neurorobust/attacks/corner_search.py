"""Local search over the corners of an L-infinity ball by exact queries, from a gradient's end."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks import norms
from neurorobust.attacks.ascent import Ascent, Steady
from neurorobust.attacks.autoattack import positive
from neurorobust.attacks.base import Claims, Proposal
from neurorobust.attacks.exact import Exact
from neurorobust.attacks.gradients import Gradient
from neurorobust.attacks.lots import Lots
from neurorobust.attacks.modes import PLAIN, Mode
from neurorobust.classifier import Classifier
from neurorobust.projection import project
from neurorobust.types import Budget, ImageBudget, Labels

FEW = 3  # entries exchanged at a time, at most
CHEAP = 3.0  # exponent: how much rather those that cost little; 1: any


@dataclass(frozen=True)
class CornerSearch(Claims):
    """Sends pixels to the corners of the ball, one by one and a few at a time, by exact margins.

    It starts where momentum PGD found the largest margin. One by one: each entry in random order
    goes to its other corner, `pool` of them asked at once; those that raise the margin are made
    together if that is best, else the best one alone. When a whole round raises nothing, two or
    three entries at a time are exchanged, rather those whose own move costs least; what does not
    lower the margin is kept, and what raises it is followed by another round one by one. Where the
    readout counts spikes, membranes resolve ties (`exact`).
    Papers: corners suffice for a parsimonious search (Moon et al., "Parsimonious black-box
    adversarial attacks via efficient combinatorial optimization", ICML 2019); the exchange of a few
    entries is our form.
    Threat model: white-box (the start) and score access, eps of linf; at most `queries` runs of the
    network a sample beside the start's gradients. A sample is left alone once it is broken.

    Attributes:
        name: on the command line and in records.
        steps: gradients of the start, a path of `reach` eps, momentum `decay`.
        reach, decay, loss: see there and `objectives.LOSSES`.
        queries: of the search, of one sample, at most.
        pool: proposals of a sample asked at once.
        draws: runs averaged in each answer and gradient of a random encoder.
        mode: the backward mode of the start.

    Raises:
        BadInput: a number below 1.
    """

    name: str = "corner-search"
    steps: int = 30
    reach: float = 4.0
    decay: float = 0.75
    loss: str = "margin"
    queries: int = 2000
    pool: int = 16
    draws: int = 10
    mode: Mode = PLAIN
    norms = ("linf",)
    kind = "eps"
    access = "white-box"
    control = False

    def __post_init__(self) -> None:
        positive(self, "steps", "queries", "pool", "draws")
        Gradient(self.mode, self.draws, self.loss)  # refuses what is not known

    def propose(
        self,
        classifier: Classifier,
        x: Tensor,
        labels: Labels,
        budget: Budget,
        generator: torch.Generator,
    ) -> Proposal:
        """Images `[batch, C, H, W]`, float32 in [0, 1], and which it found misclassified.

        Raises:
            BadInput: not an L-infinity budget, or a backend without gradients.
        """
        budget = norms.image_budget(self.name, budget, self.norms)
        if budget.epsilon == 0 or not len(x):
            return Proposal.untouched(x)
        begin = self._start(classifier, x, labels, budget, generator)
        exact = Exact(classifier, labels, generator, self.draws)
        search = _Search(exact, begin, x, budget, Lots(generator, len(x)), self.pool)
        search.run(self.queries)
        exact.report()
        return Proposal(search.now.view_as(x), search.broken > 0.5)

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The gradient of the start's loss at x, averaged as there."""
        source = Gradient(self.mode, self.draws, self.loss).start(classifier)
        return source(x, labels, generator)[0]

    def _start(
        self,
        classifier: Classifier,
        x: Tensor,
        labels: Labels,
        budget: ImageBudget,
        generator: torch.Generator,
    ) -> Tensor:
        size = self.reach * budget.epsilon / self.steps
        gradient = Gradient(self.mode, self.draws, self.loss)
        climb = Ascent(gradient, self.steps, lambda: Steady(budget, size, self.decay), stop=True)
        return climb.run(classifier, x, labels, budget, generator).x


class _Search:
    """The search on one batch; each sample's draws are its own.

    Attributes:
        now: float32 `[batch, entries]`, the best point of each sample.
        broken, score: how it stands, see `Exact`.
        change: float64 `[batch, entries]`, what each entry's own move last did to the score.
    """

    def __init__(
        self, exact: Exact, begin: Tensor, x: Tensor, budget: ImageBudget, lots: Lots, pool: int
    ) -> None:
        self.exact, self.lots, self.shape = exact, lots, x.shape
        self.low = project(x - 2 * budget.epsilon, x, budget)[0].flatten(1)
        self.high = project(x + 2 * budget.epsilon, x, budget)[0].flatten(1)
        self.now, start = begin.flatten(1).clone(), x.flatten(1)
        everyone = torch.arange(len(x), device=x.device)
        self.broken, self.score = exact(begin, everyone)
        self.change = torch.zeros(start.shape, dtype=torch.float64, device=x.device)
        self.pool = min(pool, start.shape[1])
        self._settle(everyone, torch.where(self.now >= start, self.high, self.low)[:, None])

    def run(self, queries: int) -> None:
        """Until every sample is broken or has used up its queries."""
        entries, device = self.now.shape[1], self.now.device
        order = self.lots.uniform(entries).argsort(1).to(device)
        place, quiet = torch.zeros((2, len(order)), dtype=torch.long, device=device)
        turn = torch.arange(self.pool, device=device)
        while True:
            left = self.exact.used + (self.pool + 1) * self.exact.draws <= queries
            going = left & (self.broken < 1)
            if not bool(going.any()):
                return
            one = (going & (quiet < entries)).nonzero().flatten()
            if len(one):
                asked = order[one].gather(1, (place[one, None] + turn) % entries)
                raised = self._one_by_one(one, asked)
                place[one] += self.pool
                quiet[one] = torch.where(raised, 0, quiet[one] + self.pool)
            few = (going & (quiet >= entries)).nonzero().flatten()
            if len(few):
                quiet[few] = torch.where(self._a_few(few), 0, quiet[few])

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
        coins = self.lots.uniform(self.pool, FEW + 1, rows=rows).to(now.device)
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
        each = rows.repeat_interleave(points.shape[1])
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
