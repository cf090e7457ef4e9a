"""Simulated annealing over what each pixel can be made to do, by exact answers."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from neurorobust.attacks import norms
from neurorobust.attacks.ascent import Ascent, Steady
from neurorobust.attacks.base import Claims, Proposal
from neurorobust.attacks.gradients import Gradient
from neurorobust.attacks.images.autoattack import positive
from neurorobust.attacks.modes import PLAIN, Mode
from neurorobust.budgets import Budget, ImageBudget
from neurorobust.classifier import Classifier
from neurorobust.types import Labels

if TYPE_CHECKING:  # compiled loops are loaded where an attack begins, not where it is listed
    from neurorobust.attacks.annealing.pixel_walk import PixelWalk


@dataclass(frozen=True)
class PixelAnnealing(Claims):
    """Anneals between the spike trains that each pixel can make inside the ball.

    The network sees of a pixel only what its input neuron fires, and inside a ball that is a few
    different trains. The attack walks among them, one pixel, several or a patch at a time; every
    step is answered exactly, by recomputing what it changes (`engine.incremental`). Each life
    starts where momentum PGD ended under the next of `modes`, or from the best, two good points
    crossed, or a random corner; targets any class or one of the nearest; uses the next form of the
    energy (`annealing.energy`); and ends with the best choice of every pixel in turn. Pixels with
    large gradients are changed more often.
    Papers: simulated annealing (Kirkpatrick et al., Science 1983); discrete local search in the
    ball (Moon et al., ICML 2019). The choices, energies and lives are our form.
    Threat model: white-box (the network is recomputed, gradients make the starts), eps of linf; the
    target itself is not asked. Networks that draw, feed back or run for more than 64 steps are
    refused.

    Attributes:
        lives: walks a sample.
        moves: of the first three walks, twice as many of the next three, three times, then four
            times as many.
        effort: neurons times steps that the walks of a sample may compute: of a large network they
            are shorter. What comes before the first walk is not counted.
        least: neurons times steps after which a sample is given up whose lowest energy is still
            above a sixth of the untouched one's.
        steps, reach, decay: of the starts: momentum PGD, a path of `reach` eps.
        modes: backward modes of the starts, in turn.
    """

    lives: int = 12
    moves: int = 10_000
    effort: int = 1_500_000_000
    least: int = 1_000_000_000
    steps: int = 30
    reach: float = 4.0
    decay: float = 0.75
    modes: tuple[Mode, ...] = (PLAIN,)
    name = "pixel-annealing"
    norms = ("linf",)
    kind = "eps"
    access = "white-box"
    control = False

    def __post_init__(self) -> None:
        positive(self, "lives", "moves", "effort", "least", "steps")

    def check(self, classifier: Classifier, shape: tuple[int, ...], budget: Budget) -> None:
        """See `CheckedAttack`."""
        from neurorobust.attacks.annealing.follow import follow

        norms.image_budget(self.name, budget, self.norms)
        follow(self.name, classifier, 0)

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
            BadInput: not an L-infinity budget, a backend without gradients, or a network that
                cannot be followed.
        """
        from neurorobust.attacks.annealing.follow import Followed, follow, on_all_threads, seeds
        from neurorobust.attacks.annealing.pixel_choices import choices, input_words
        from neurorobust.attacks.annealing.pixel_walk import PixelWalk

        budget = norms.image_budget(self.name, budget, self.norms)
        net = follow(self.name, classifier, 0)
        if budget.epsilon == 0 or not len(x):
            return Proposal.untouched(x)
        host, own = x.cpu(), seeds(generator, len(x))
        words = input_words(classifier, host)
        readout, shape = classifier.readout.kind, classifier.backend.model.input_shape
        walks = [
            PixelWalk(
                Followed(net, words[row], int(labels[row]), readout, own[row]),
                choices(classifier, host[row], budget),
                (shape[2], shape[1]),
            )
            for row in range(len(x))
        ]
        rows = torch.arange(len(x))
        for life in range(self.lives):
            standing = [row for row in rows.tolist() if not walks[row].over(self.least)]
            rows = torch.tensor(standing, dtype=torch.int64)
            if not len(rows):
                break
            if life % 2 == 0:
                self._starts(walks, rows, classifier, x, labels, budget, generator, life // 2)
            on_all_threads(functools.partial(self._walk, walks, life), rows)
        found = [walk.choices.image(walk.best, x.shape[1:]) for walk in walks]
        claimed = torch.tensor([walk.broken for walk in walks])
        return Proposal(torch.stack(found).to(x.device), claimed.to(x.device))

    def _walk(self, walks: list[PixelWalk], life: int, row: int) -> None:
        moves = self.moves * min(4, 1 + life // 3)
        walks[row].live(life, moves, self.effort, self.lives - life)

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The gradient of the normalised margin at x, by the first mode."""
        return Gradient(self.modes[0]).start(classifier)(x, labels, generator)[0]

    def _starts(
        self, walks: list[PixelWalk], rows: Tensor, classifier: Classifier, x: Tensor,
        labels: Labels, budget: ImageBudget, generator: torch.Generator, turn: int,
    ) -> None:  # fmt: skip
        """Momentum PGD from x or a random start; its end and its gradients go to the walks."""
        begin = norms.start(x, budget, generator) if turn % 2 else x
        size, mode = self.reach * budget.epsilon / self.steps, self.modes[turn % len(self.modes)]
        gradient = Gradient(mode, loss=("margin", "ce")[turn // 2 % 2])
        climb = Ascent(gradient, self.steps, lambda: Steady(budget, size, self.decay), stop=True)
        end = climb.climb(classifier, begin, x, labels, rows, generator).x[rows]
        slope = gradient.start(classifier)(end, labels[rows], generator)[0].abs().flatten(1)
        for place, row in enumerate(rows.tolist()):
            walks[row].see(end[place].cpu(), slope[place].double().cpu().numpy())
