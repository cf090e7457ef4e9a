"""Uniform noise of the attack's size: the control."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput
from neurorobust.types import Budget, ImageBudget, Labels


@dataclass(frozen=True)
class UniformNoise:
    """`x + U(-eps, eps)`, one independent draw a pixel and sample, clipped to [0, 1].

    A control, not an adversary: a white-box attack that is not stronger than this found nothing
    (Carlini et al., "On evaluating adversarial robustness", arXiv:1902.06705, 2019).
    Threat model: no access, no queries, L-infinity eps in pixel units.
    """

    name = "random"
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
        if not isinstance(budget, ImageBudget) or budget.norm != "linf":
            raise BadInput(f"{self.name}: needs an L-infinity budget on images, got {budget}")
        if budget.epsilon == 0:
            return x.clone()
        noise = torch.rand(x.shape, generator=generator).to(x.device)
        return (x + (2 * noise - 1) * budget.epsilon).clamp(0, 1).to(x.dtype)
