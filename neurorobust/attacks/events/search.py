"""Exact search: gradients say what to ask, the network's own answers say what to do."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.events.edit_search import EditSearch, Effort
from neurorobust.attacks.events.edits import Edits, Flips
from neurorobust.attacks.events.moves import Moves
from neurorobust.attacks.events.patch import likely_places
from neurorobust.attacks.events.windows import check_patch, window
from neurorobust.attacks.feasible import Feasible, flip
from neurorobust.attacks.finer import FineFlipQueries
from neurorobust.attacks.gradients import Gradient
from neurorobust.attacks.modes import PLAIN, Mode, find_mode
from neurorobust.attacks.queries import report
from neurorobust.attacks.sample_random import SampleGenerators
from neurorobust.budgets import Budget, SpikeBudget
from neurorobust.classifier import Classifier
from neurorobust.types import Labels

MODES = tuple(
    find_mode(name)
    for name in (
        PLAIN.name,
        "triangle-1",
        "atan-2",
        "straight-through-1",
        "sigmoid-1",
        "rga",
    )
)


@dataclass(frozen=True)
class FlipSearch:
    """Flips ranked by gradients under several surrogates, each one's effect asked exactly.

    A round takes the gradient of the margin, asks the network for each of `pool` flips (a third
    gained most when they were asked last, the others promise most), and makes the best one (of a
    large budget several at once, as many as do better together). When the budget is spent, flips
    are exchanged: the `drops` least missed ones are taken back in turn, `swaps` others are asked in
    their place, and the best state is kept. Each round without progress turns to the next mode;
    after `patience` of them a new life begins, from a random half of the flips or from none,
    towards the nearest classes in turn (`lives.Lives`), and draws its pool at random from twice as
    many.
    Between equal counts of output spikes the charge of the output neurons decides (`finer.py`).
    Papers: none as it stands. It joins what is known of sparse attacks: rank by gradient, decide
    by exact evaluation in batches (greedy coordinate gradient: Zou et al., arXiv:2307.15043, for
    tokens), the one feasible change of a binary entry (SEA, ICLR 2025), flips asked one by one
    (SDA: Lun et al., CVPR 2025), and iterated local search (Lourenço, Martin & Stützle, 2003).
    Threat model: white-box, a `SpikeBudget`. Broken samples cost no further queries.

    Attributes:
        queries, pool, drops, swaps, steps, patience: see `edit_search.Effort`.
        modes: backward modes.
    """

    queries: int = 6000
    pool: int = 48
    drops: int = 3
    swaps: int = 32
    steps: int = 24
    patience: int = 3
    modes: tuple[Mode, ...] = MODES
    name = "flip-search"
    kind = "flips"
    access = "white-box"
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
            BadInput: another kind of budget, or a backend without gradients.
        """
        edits = self._edits(x, budget)
        search = self._search(classifier, x, labels, generator)
        found = x.clone()
        if len(x) and edits.most:
            found = flip(x, search(edits, torch.arange(len(x)))[0])
        report(classifier, search.flip_queries.asked)
        return found

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The gradient of the normalised margin with respect to the spikes, by the first mode."""
        return Gradient(self.modes[0]).start(classifier)(x, labels, generator)[0]

    def _edits(self, x: Tensor, budget: Budget) -> Edits:
        return Flips(Feasible.of(self.name, x, budget))

    def _search(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> EditSearch:
        flip_queries = FineFlipQueries(classifier, x, labels, generator)
        generators = SampleGenerators(generator, len(x))
        effort = Effort(self.queries, self.pool, self.drops, self.swaps, self.steps, self.patience)
        return EditSearch(flip_queries, generators, self.modes, effort)


@dataclass(frozen=True)
class MoveSearch(FlipSearch):
    """`FlipSearch` with another edit: one spike moves to a free step of its line.

    Threat model: white-box, a `ShiftBudget`: reach, total and number of moves.
    """

    name = "move-search"
    kind = "shifts"

    def _edits(self, x: Tensor, budget: Budget) -> Edits:
        return Moves.of(self.name, x, budget)


@dataclass(frozen=True)
class PatchSearch(FlipSearch):
    """`FlipSearch` within one rectangle, in which any entry may flip.

    The `places` rectangles of each sample whose gradients are largest are searched in turn, each
    with its share of the queries; a sample that is broken is done.
    Threat model: white-box, a `PatchBudget`.

    Attributes:
        places: tried, that overlap as little as possible.
    """

    places: int = 4
    name = "patch-search"
    kind = "patches"

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
            BadInput: another kind of budget, or a backend without gradients.
        """
        size = check_patch(self.name, x, budget)
        found = x.clone()
        if not len(x) or not size[0] or not size[1]:
            return found
        search = self._search(classifier, x, labels, generator)
        heat = self.gradient(classifier, x, labels, generator).abs().sum((1, 4))
        places = [likely_places(each, size, self.places) for each in heat]
        left = torch.arange(len(x))
        for turn in range(self.places):
            rows = [row for row in left.tolist() if turn < len(places[row])]
            if not rows:
                break
            allowed = torch.zeros(x.shape, dtype=torch.bool)
            for row in rows:
                top, left = places[row][turn]
                allowed[row][window(top, left, *size)] = True
            entries = int(allowed[rows[0]].sum())
            feasible = Feasible(SpikeBudget(entries), x.flatten(1).bool(), allowed.flatten(1))
            mask, broken = search(Flips(feasible), torch.tensor(rows))
            found[rows] = flip(x[rows], mask)
            left = torch.tensor(rows)[~broken]
        report(classifier, search.flip_queries.asked)
        return found
