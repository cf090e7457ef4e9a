"""SpikeFool: the nearest boundary of a linear model, reached by whole spikes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.feasible import Feasible
from neurorobust.attacks.gradients import Gradient
from neurorobust.attacks.modes import PLAIN, Mode
from neurorobust.classifier import Classifier
from neurorobust.types import Budget, Labels


@dataclass(frozen=True)
class SpikeFool:
    """DeepFool finds the boundary, a greedy linear solver reaches it by flips; again and again.

    Outer iteration: DeepFool walks from the current spikes x to a boundary point x + r with the
    normal w there. The target is x + lam * r, and entries are flipped in the order of |w|, the
    feasible ones that point towards it, until the linear model says that it is crossed. Then the
    network is asked.
    Paper: Büchel et al., "Adversarial attacks on spiking convolutional neural networks for
    event-based vision", Frontiers in Neuroscience 16 (2022), after SparseFool (Modas et al., CVPR
    2019): lam 2, 20 outer iterations (15 on chip), 50 DeepFool steps, overshoot 0.02, step at least
    0.01. Our form: only the runner-up's boundary is linearised (one gradient a step); DeepFool's
    iterate is real-valued but every question is asked at its rounding, so that no network ever
    sees a fraction of a spike; on binary data, both sides (on the chip only insertions were
    replayed; a budget with `delete=0` is that); flips beyond the budget are cut by |w|.
    Threat model: white-box, a `SpikeBudget`.

    Attributes:
        outer: iterations.
        inner: steps of DeepFool.
        lam: how far beyond the boundary the target lies.
        overshoot: of DeepFool.
        least: smallest step of DeepFool, as L2 norm.
        mode: the backward mode.
    """

    outer: int = 20
    inner: int = 50
    lam: float = 2.0
    overshoot: float = 0.02
    least: float = 0.01
    mode: Mode = PLAIN
    name = "spikefool"
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
            BadInput: not a spike budget, or a backend without gradients.
        """
        feasible = Feasible.of(self.name, x, budget)
        if feasible.budget.flips == 0 or len(x) == 0:
            return x.clone()
        source = Gradient(self.mode).start(classifier)
        return self.search(classifier, source, feasible, x, labels, generator)

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The gradient of the normalised margin with respect to the spikes."""
        return Gradient(self.mode).start(classifier)(x, labels, generator)[0]
