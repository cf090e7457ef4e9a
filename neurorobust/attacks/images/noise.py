"""Noise of the attack's size, in any norm: the control."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks import norms
from neurorobust.budgets import NORMS, Budget
from neurorobust.classifier import Classifier
from neurorobust.types import Labels


@dataclass(frozen=True)
class UniformNoise:
    """A random point of the budget, one independent draw a sample, cut to [0, 1].

    L-infinity: `x + U(-eps, eps)`, every pixel its own; L2 and L1: a uniform direction, eps long;
    L0: uniform grey levels in so many places (see `norms.start`).
    A control, not an adversary: a white-box attack that is not stronger than this found nothing
    (Carlini et al., "On evaluating adversarial robustness", arXiv:1902.06705, 2019).
    Threat model: no access, no queries, eps of any norm in pixel units.
    """

    name = "random"
    norms = NORMS
    kind = "eps"
    access = "none"
    control = True

    def __call__(
        self,
        classifier: Classifier,
        x: Tensor,
        labels: Labels,
        budget: Budget,
        generator: torch.Generator,
    ) -> Tensor:
        """Propose images `[batch, C, H, W]` in [0, 1].

        Raises:
            BadInput: not an image budget.
        """
        budget = norms.image_budget(self.name, budget)
        return norms.start(x, budget, generator) if budget.epsilon else x.clone()
