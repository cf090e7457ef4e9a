"""Square: random search with squares that only sees scores, within a budget of queries."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neurorobust.attacks import norms
from neurorobust.attacks.base import Claims, Proposal
from neurorobust.attacks.global_seeding import seeded
from neurorobust.attacks.images.autoattack import NAMES, NORMS, positive
from neurorobust.attacks.oracle import Done, Oracle
from neurorobust.attacks.queries import report
from neurorobust.budgets import Budget
from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput
from neurorobust.types import Labels


@dataclass(frozen=True)
class Square(Claims):
    """Keeps a random square of changed pixels when the margin shrinks.

    Paper: Andriushchenko et al., "Square attack: a query-efficient black-box adversarial attack via
    random search", ECCV 2020; code: pyautoattack 0.2, on the margin; squares may lie at the last
    row and column too, where that code never puts them. It draws one square an iteration for the
    whole batch, so a sample's result depends on its place in it.
    Threat model: score-based, eps of linf, l2 or l1 in pixel units; at most `queries` runs of the
    network a sample, on any backend. A sample is left alone once it is broken.

    Attributes:
        name: on the command line and in records.
        queries: of one sample, at most.
        share: of the pixels, that the first squares cover (the authors' p).

    Raises:
        BadInput: no query, or a share outside (0, 1].
    """

    name: str = "square"
    queries: int = 5000
    share: float = 0.8
    norms = NORMS
    kind = "eps"
    access = "score"
    control = False

    def __post_init__(self) -> None:
        positive(self, "queries")
        if not 0 < self.share <= 1:
            raise BadInput(f"{self.name}: share {self.share} outside (0, 1]")

    def check(self, classifier: Classifier, shape: tuple[int, ...], budget: Budget) -> None:
        """Refuse images too small for the windows of l2 and l1.

        Raises:
            BadInput: see `CheckedAttack`.
        """
        norm = norms.image_budget(self.name, budget, NORMS).norm
        if norm != "linf" and min(shape[1:]) < 5:
            raise BadInput(f"{self.name}: images of {shape[1]} x {shape[2]}, {norm} needs 5 x 5")

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
            BadInput: not such a budget, or (l2, l1) images below 5 x 5.
        """
        from pyautoattack.square import SquareAttack

        budget = norms.image_budget(self.name, budget, NORMS)
        self.check(classifier, tuple(x.shape[1:]), budget)
        if budget.epsilon == 0 or not len(x):
            return Proposal.untouched(x)
        oracle = Oracle(classifier, x, labels, budget, generator, limit=self.queries)

        class Search(SquareAttack):  # type: ignore[misc]  # pyautoattack has no types
            """Its "labels" are the samples' numbers, which say what a row is about."""

            def margin_and_loss(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
                logits, own = oracle.ask(x, y).clone(), labels[y][:, None]
                right = logits.gather(1, own).squeeze(1)
                margin = right - logits.scatter(1, own, -torch.inf).amax(1)
                return margin, margin.clone()

            def random_int(self, low: int = 0, high: int = 1, shape: Any = (1,)) -> Tensor:
                places = low + (high - low + 1) * torch.rand(shape)
                return places.long().clamp_max(high)

        options = {"norm": NAMES[budget.norm], "eps": budget.epsilon, "p_init": self.share}
        search = Search(None, n_queries=self.queries, device=x.device, **options)
        search.init_hyperparam(x)
        with seeded(generator), suppress(Done), torch.no_grad():
            search.attack_single_run(x, torch.arange(len(x), device=x.device))
        report(classifier, oracle.used)
        return oracle.best.proposal()
