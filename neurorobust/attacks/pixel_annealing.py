"""Simulated annealing over what each pixel can be made to do, by exact answers."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from neurorobust.attacks import norms
from neurorobust.attacks.annealing.follow import Followed, follow, on_all_threads, seeds
from neurorobust.attacks.annealing.pixels import anneal_pixels, descend_pixels
from neurorobust.attacks.annealing.random import seeded
from neurorobust.attacks.ascent import Ascent, Steady
from neurorobust.attacks.autoattack import positive
from neurorobust.attacks.base import Claims, Proposal
from neurorobust.attacks.gradients import Gradient
from neurorobust.attacks.modes import PLAIN, Mode
from neurorobust.attacks.pixel_choices import Choices, choices, input_words
from neurorobust.backends.engine.incremental.loops import Sample, refresh
from neurorobust.backends.engine.loops import Array
from neurorobust.classifier import Classifier
from neurorobust.types import Budget, ImageBudget, Labels

HOT, COLD = (0.3, 1.0, 0.6, 2.0), 0.02  # first temperatures, one life after the other; the last one
ELITE = 6  # points of a sample that are crossed


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
        moves: of the first walks; from the third on twice, from the sixth three times as many, up
            to four times.
        effort: neurons times steps that are computed for a sample at most: of a large network the
            walks are shorter.
        steps, reach, decay: of the starts: momentum PGD, a path of `reach` eps.
        modes: backward modes of the starts, in turn.
    """

    lives: int = 12
    moves: int = 10_000
    effort: int = 1_500_000_000
    steps: int = 30
    reach: float = 4.0
    decay: float = 0.75
    modes: tuple[Mode, ...] = (PLAIN,)
    name = "pixel-annealing"
    norms = ("linf",)
    kind = "eps"
    access = "white-box"
    control = False
    may_return_x = False

    def __post_init__(self) -> None:
        positive(self, "lives", "moves", "effort", "steps")

    def check(self, classifier: Classifier, shape: tuple[int, ...], budget: Budget) -> None:
        """See `CheckedAttack`."""
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
        budget = norms.image_budget(self.name, budget, self.norms)
        net = follow(self.name, classifier, 0)
        if budget.epsilon == 0 or not len(x):
            return Proposal.untouched(x)
        host, own = x.cpu(), seeds(generator, len(x))
        words = input_words(classifier, host)
        readout, shape = classifier.readout.kind, classifier.backend.model.input_shape
        walks = [
            _Walk(
                Followed(net, words[row], int(labels[row]), readout, own[row]),
                choices(classifier, host[row], budget),
                (shape[2], shape[1]),
            )
            for row in range(len(x))
        ]
        rows = torch.arange(len(x))
        for life in range(self.lives):
            standing = [row for row in rows.tolist() if not walks[row].broken]
            rows = torch.tensor(standing, dtype=torch.int64)
            if not len(rows):
                break
            if life % 2 == 0:
                self._starts(walks, rows, classifier, x, labels, budget, generator, life // 2)
            on_all_threads(functools.partial(self._walk, walks, life), rows)
        found = [walk.choices.image(walk.best, x.shape[1:]) for walk in walks]
        claimed = torch.tensor([walk.broken for walk in walks])
        return Proposal(torch.stack(found).to(x.device), claimed.to(x.device))

    def _walk(self, walks: list[_Walk], life: int, row: int) -> None:
        moves = self.moves * min(4, 1 + life // 3)
        walks[row].live(life, moves, self.effort, self.lives - life)

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The gradient of the normalised margin at x, by the first mode."""
        return Gradient(self.modes[0]).start(classifier)(x, labels, generator)[0]

    def _starts(
        self, walks: list[_Walk], rows: Tensor, classifier: Classifier, x: Tensor, labels: Labels,
        budget: ImageBudget, generator: torch.Generator, turn: int,
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


@dataclass
class _Walk:
    """One sample's.

    Attributes:
        follow: the sample.
        choices: its pixels'.
        size: width, height.
        best: int64 `[inputs]`, the best choices so far.
    """

    follow: Followed
    choices: Choices
    size: tuple[int, int]
    broken: bool = False
    energy: float = np.inf
    best: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    start: Array | None = None
    elite: list[tuple[float, Array]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.free = np.flatnonzero(np.diff(self.choices.starts) > 1).astype(np.int64)
        self.best = self.choices.starts[:-1].copy()
        self.pull = np.ones(len(self.free))

    def see(self, end: Tensor, slope: Array) -> None:
        """Where an ascent ended, and how large the gradients are there."""
        self.start = self.choices.nearest(end)
        some = slope[self.free]
        self.pull += some / max(float(some.mean()), 1e-30) if len(some) else 0.0

    def live(self, life: int, moves: int, effort: int, left: int) -> None:
        """One walk, of `left` that are still to come; see `Followed.affordable`."""
        net, sample = self.follow.net, self.follow.begin()
        now = self._begin(life)
        refresh(net, sample, self.choices.words[now])
        moves = self.follow.affordable(moves, effort, left)
        if len(self.free) and moves and not self.follow.standing(sample)[0]:
            target, weights = self.follow.target(sample, life), self.follow.weights(life)
            found, random = np.empty_like(now), seeded(self.follow.seed())
            common = (target, weights, self.follow.by_count)
            *_, made = anneal_pixels(
                net, sample, self.follow.label, *common, *self.size, self.choices.starts,
                self.choices.words, now, self.free, np.cumsum(self.pull + self.pull.mean()),
                moves, HOT[life % len(HOT)], COLD, random, found,
            )  # fmt: skip
            refresh(net, sample, self.choices.words[found])
            descend_pixels(
                net, sample, self.follow.label, *common, self.choices.starts, self.choices.words,
                found, self.free, random,
            )  # fmt: skip
            now = found
            self.follow.spent(sample, made)
        self._keep(sample, now)

    def _begin(self, life: int) -> Array:
        """Where an ascent ended, the best, two good points crossed, or a random corner."""
        if self.start is not None:
            now, self.start = self.start, None
            return now
        rng, ends = self.follow.rng, self.choices.starts
        if life % 6 == 5:
            low = rng.random(len(self.best)) < 0.5
            corner: Array = np.where(low, ends[:-1], ends[1:] - 1)
            return corner
        if life % 6 == 1 or len(self.elite) < 2:
            return self.best.copy()
        one, other = rng.choice(len(self.elite), 2, replace=False)
        mask = rng.random(len(self.best)) < 0.5
        crossed: Array = np.where(mask, self.elite[one][1], self.elite[other][1])
        return crossed

    def _keep(self, sample: Sample, now: Array) -> None:
        broken, energy = self.follow.standing(sample)
        if broken or energy < self.energy:
            self.broken, self.energy, self.best = broken, energy, now.copy()
        self.elite = sorted([*self.elite, (energy, now.copy())], key=lambda pair: pair[0])[:ELITE]
