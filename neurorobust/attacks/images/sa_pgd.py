"""SA-PGD: steps whose size adapts to every pixel's own history of gradients."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks import norms
from neurorobust.attacks.ascent import Ascent
from neurorobust.attacks.base import Claims, Proposal
from neurorobust.attacks.gradients import Gradient
from neurorobust.attacks.modes import PLAIN, Mode
from neurorobust.budgets import NORMS, Budget, ImageBudget, project
from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput
from neurorobust.types import Labels

MEMORY, SQUARES = 0.5, 0.8  # decay of m and of w


def halvings(steps: int) -> tuple[int, ...]:
    """After which steps the size halves: .22 K, then intervals .03 K shorter each, at least .06 K.

    Whole steps, at least one (as in APGD, Croce & Hein, ICML 2020).
    """
    after, interval, found = 0, max(1, int(0.22 * steps)), []
    while after + interval < steps:
        after += interval
        found.append(after)
        interval = max(interval - max(1, int(0.03 * steps)), 1, int(0.06 * steps))
    return tuple(found)


@dataclass
class Adaptive:
    """The rule; per sample g is divided by its mean |g|, its square by the mean square.

        m <- .5 m + g / mean|g|        w <- .8 w + g^2 / mean(g^2)
        linf:    z <- z + clip(eta m / sqrt(w), -eta, eta)
        others:  a step of size eta along m, see `norms`        (our form: dividing entry by entry
                 would give every pixel the same say)

    eta starts at eps and halves by `halvings`.
    """

    budget: ImageBudget
    steps: int
    done: int = 0
    memory: Tensor | float = 0.0
    squares: Tensor | float = 0.0

    def __call__(self, z: Tensor, x: Tensor, gradient: Tensor) -> Tensor:
        """See `ascent.Rule`."""
        eta = self.budget.epsilon / 2 ** sum(step <= self.done for step in halvings(self.steps))
        self.done += 1
        square = gradient.square()
        self.memory = MEMORY * self.memory + gradient / _mean(gradient.abs())
        self.squares = SQUARES * self.squares + square / _mean(square)
        if self.budget.norm != "linf":
            return norms.ascend(z, x, self.memory, eta, self.budget)
        root = self.squares.sqrt()
        direction = torch.where(root > 0, self.memory / torch.where(root > 0, root, 1), 0)
        return project(z + eta * direction.clamp(-1, 1), x, self.budget)[0]

    def keep(self, rows: Tensor) -> None:
        """See `ascent.Rule`."""
        if isinstance(self.memory, Tensor) and isinstance(self.squares, Tensor):
            self.memory, self.squares = self.memory[rows], self.squares[rows]


def _mean(values: Tensor) -> Tensor:
    """The mean of each sample, to divide by: 1 where it is 0."""
    mean = values.flatten(1).mean(1).view(-1, 1, 1, 1)
    return torch.where(mean > 0, mean, 1)


@dataclass(frozen=True)
class SaPgd(Claims):
    """Adaptive steps on the loss, from a random start stretched to the border of the ball.

    Paper: "Stable Adaptive PGD", arXiv:2512.22522 (L-infinity, with its adaptive sharpness
    surrogate, the mode `assg-*`, registered with its default A); other norms and modes are our
    form. A success at any iterate and restart is kept.
    Threat model: white-box, eps of the budget's norm in pixel units [0, 1].

    Attributes:
        name: on the command line and in records.
        norms: those it takes, of `budgets.NORMS`.
        steps: gradient steps a restart.
        restarts: random starts.
        draws: independent queries averaged inside each gradient of a random encoder.
        loss: a name of `objectives.LOSSES`.
        mode: the backward mode.
        stop: leave a sample alone as soon as it is misclassified.

    Raises:
        BadInput: no steps or no restart.
    """

    name: str = "sa-pgd"
    norms: tuple[str, ...] = NORMS
    steps: int = 100
    restarts: int = 1
    draws: int = 10
    loss: str = "margin"
    mode: Mode = PLAIN
    stop: bool = True
    kind = "eps"
    access = "white-box"
    control = False

    def __post_init__(self) -> None:
        for name in ("steps", "restarts"):
            if getattr(self, name) < 1:
                raise BadInput(f"{self.name}: {name} {getattr(self, name)} below 1")
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
            BadInput: not an image budget, or a backend without gradients.
        """
        budget = norms.image_budget(self.name, budget, self.norms)
        if budget.epsilon == 0:
            return Proposal.untouched(x)
        search = Ascent(
            Gradient(self.mode, self.draws, self.loss),
            self.steps,
            lambda: Adaptive(budget, self.steps),
            self.restarts,
            stretch=True,
            stop=self.stop,
        )
        return search.run(classifier, x, labels, budget, generator).proposal()

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The gradient of the loss at x, averaged as in the attack."""
        source = Gradient(self.mode, self.draws, self.loss).start(classifier)
        return source(x, labels, generator)[0]
