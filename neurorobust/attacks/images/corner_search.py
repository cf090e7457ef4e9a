"""Local search over the corners of an L-infinity ball by exact queries, from a gradient's end."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks import norms
from neurorobust.attacks.ascent import Ascent, Steady
from neurorobust.attacks.base import Claims, Proposal
from neurorobust.attacks.best import Best
from neurorobust.attacks.exact import Exact
from neurorobust.attacks.gradients import Gradient
from neurorobust.attacks.images.autoattack import positive
from neurorobust.attacks.images.corners import Corners
from neurorobust.attacks.modes import PLAIN, Mode
from neurorobust.attacks.sample_random import SampleGenerators
from neurorobust.budgets import Budget, ImageBudget
from neurorobust.classifier import Classifier
from neurorobust.types import Labels


@dataclass(frozen=True)
class CornerSearch(Claims):
    """Sends pixels to the corners of the ball, one by one and a few at a time, by exact margins.

    It starts where momentum PGD found the largest margin. One by one: each entry in random order
    goes to its other corner, `pool` of them asked at once; those that raise the margin are made
    together if that is best, else the best one alone. When a whole round raises nothing, two or
    three entries at a time are exchanged, rather those whose own move costs least; what does not
    lower the margin is kept, and what raises it is followed by another round one by one. Where the
    readout counts spikes, membranes resolve ties (`exact`). A sample that lacks more than `hope`
    times what its first `trial` queries gained is given up for this start, and after `chances` such
    starts for good; the others use up their queries, from `restarts` starts.
    Papers: corners suffice for a parsimonious search (Moon et al., "Parsimonious black-box
    adversarial attacks via efficient combinatorial optimization", ICML 2019); the exchange of a few
    entries is our form.
    Threat model: white-box (the start) and score access, eps of linf; at most `queries` runs of the
    network a sample and start, beside the start's gradients. Who is broken is left alone.

    Attributes:
        name: on the command line and in records.
        steps: gradients of the start, a path of `reach` eps, momentum `decay`.
        reach, decay, loss: see there and `objectives.LOSSES`.
        restarts: random starts.
        queries: of one sample from one start, at most.
        trial, hope, chances: see above.
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
    restarts: int = 4
    queries: int = 2000
    trial: int = 256
    hope: float = 5.0
    chances: int = 2
    pool: int = 16
    draws: int = 10
    mode: Mode = PLAIN
    norms = ("linf",)
    kind = "eps"
    access = "white-box"
    control = False

    def __post_init__(self) -> None:
        positive(self, "steps", "restarts", "queries", "trial", "chances", "pool", "draws")
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
        generators = SampleGenerators(generator, len(x))
        exact = Exact(classifier, labels, generator, self.draws)
        found, given_up = Best.start(x), torch.zeros_like(labels)
        for _ in range(self.restarts):
            begin = norms.start(x, budget, generator)
            rows = ((found.standing.broken < 1) & (given_up < self.chances)).nonzero().flatten()
            if not len(rows):
                break
            begin = self._climbed(classifier, begin, x, labels, rows, budget, generator)
            search = Corners(exact, rows, begin, x[rows], budget, generators, self.pool)
            given_up[rows] += search.run(self.queries, self.trial, self.hope)
            found.update(search.now.view_as(begin), search.standing(), rows)
        exact.report()
        return found.proposal()

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The gradient of the start's loss at x, averaged as there."""
        source = Gradient(self.mode, self.draws, self.loss).start(classifier)
        return source(x, labels, generator)[0]

    def _climbed(
        self,
        classifier: Classifier,
        begin: Tensor,
        x: Tensor,
        labels: Labels,
        rows: Tensor,
        budget: ImageBudget,
        generator: torch.Generator,
    ) -> Tensor:
        """Where momentum PGD from `begin` found the largest margin, of the samples `rows`."""
        size = self.reach * budget.epsilon / self.steps
        gradient = Gradient(self.mode, self.draws, self.loss)
        climb = Ascent(gradient, self.steps, lambda: Steady(budget, size, self.decay), stop=True)
        return climb.climb(classifier, begin, x, labels, rows, generator).x[rows]
