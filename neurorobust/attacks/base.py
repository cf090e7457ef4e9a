"""What an attack is: it proposes, it never grades itself."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from neurorobust.classifier import Classifier
from neurorobust.types import Budget, Labels


class Attack(Protocol):
    """Proposes a perturbed x.

    Attributes:
        name: its name on the command line and in records.
        domain: `images` (takes `ImageBudget`) or `spikes` (takes `SpikeBudget`).
        white_box: needs a differentiable backend.
    """

    name: str
    domain: str
    white_box: bool

    def __call__(
        self,
        classifier: Classifier,
        x: Tensor,
        labels: Labels,
        budget: Budget,
        generator: torch.Generator,
    ) -> Tensor:
        """Propose `[batch, ...]` of x's shape and dtype; x is not changed in place.

        All randomness comes from `generator`; a zero budget returns x. The evaluation projects
        and scores the proposal.
        """
        ...
