"""The one search of the attacks on a deployment: climb, measure exactly, keep the best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from neurorobust.attacks import norms
from neurorobust.attacks.feasible import Feasible, flip
from neurorobust.backends.engine import EngineBackend
from neurorobust.budgets import Budget
from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput
from neurorobust.types import Labels


class Objective(Protocol):
    """What is maximised.

    Attributes:
        name: how tables call it.
    """

    @property
    def name(self) -> str:
        """See above."""
        ...

    def value(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """Measured on a run, float64 `[batch]`."""
        ...

    def promise(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """A differentiable stand-in, `[batch]`; x requires gradients."""
        ...


@dataclass(frozen=True)
class DeploymentAttack:
    """`steps` steps along the gradient of an objective's stand-in, by the surrogate; best kept.

    Images: steps of `reach * eps / steps` in the budget's norm, from x. Spikes: the flips that
    promise most, spread over the steps. What is kept is what a run measured, each sample its own;
    x itself if nothing is better.
    Paper: none for this target; `objective` says what it is.
    Threat model: white-box, on the engine; an image budget or a `SpikeBudget`.

    Attributes:
        name: of the attack.
        kind: `eps` or `flips`.
        objective: what is maximised.
        steps: gradients.
        reach: of images, the path in units of eps.
    """

    name: str
    kind: str
    objective: Objective
    steps: int = 20
    reach: float = 2.5
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
        """Propose images or spikes of x's shape.

        Raises:
            BadInput: another kind of budget, or another backend than the engine.
        """
        if not isinstance(classifier.backend, EngineBackend):
            raise BadInput(f"{self.name}: needs the engine, not {classifier.backend.name}")
        feasible = None if self.kind == "eps" else Feasible.of(self.name, x, budget)
        area = None if feasible else norms.image_budget(self.name, budget)
        best, level = x.clone(), self.objective.value(classifier, x, labels, generator)
        point = x
        for done in range(self.steps):
            gradient = self.gradient(classifier, point, labels, generator)
            if area is not None:
                size = self.reach * area.epsilon / self.steps
                point = norms.ascend(point, x, gradient, size, area) if size else x
            else:
                assert feasible is not None
                flipped = _flipped(feasible, x, point, gradient, done + 1, self.steps)
                point = flip(x, flipped)
            reached = self.objective.value(classifier, point, labels, generator)
            better = reached > level
            best[better] = point[better]
            level = torch.where(better, reached, level)
        return best

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """Of the stand-in at x, float32 of x's shape."""
        leaf = x.detach().to(torch.float32, copy=True).requires_grad_()
        with torch.set_grad_enabled(True):
            promise = self.objective.promise(classifier, leaf, labels, generator)
            if not promise.requires_grad:
                return torch.zeros_like(leaf)
            (found,) = torch.autograd.grad(promise.sum(), leaf)
        return torch.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)


def _flipped(
    feasible: Feasible, x: Tensor, point: Tensor, gradient: Tensor, done: int, steps: int
) -> Tensor:
    """The flips made so far, and of the share of the budget that is due those that promise most."""
    promise = ((1 - 2 * point.to(torch.float32)) * gradient).flatten(1)
    made = (point != x).flatten(1)
    score = promise.masked_fill(promise <= 0, -torch.inf).masked_fill(made, torch.inf)
    return feasible.choose(score, -(-feasible.budget.flips * done // steps))
