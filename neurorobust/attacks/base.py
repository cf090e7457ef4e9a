"""What an attack is: it proposes, it never grades itself."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from neurorobust.classifier import Classifier
from neurorobust.types import Budget, Labels


class Attack(Protocol):
    """Proposes a perturbed x.

    Attributes:
        name: its name on the command line and in records.
        domain: `images` (takes `ImageBudget`) or `spikes` (takes `SpikeBudget`).
        white_box: knows the network; needs a differentiable backend.
        control: blind noise, there to be beaten.
    """

    name: str
    domain: str
    white_box: bool
    control: bool

    def __call__(
        self,
        classifier: Classifier,
        x: Tensor,
        labels: Labels,
        budget: Budget,
        generator: torch.Generator,
    ) -> Tensor:
        """Propose `[batch, ...]` of x's shape and dtype; x is not changed in place.

        All randomness comes from `generator`; a zero budget returns x. The evaluation projects and
        scores it.
        """
        ...


@runtime_checkable
class GradientAttack(Attack, Protocol):
    """An attack that follows a gradient, and shows the one it starts with."""

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The gradient of the attack's objective at x, of x's shape, float32; x is not changed."""
        ...


def settings(attack: Attack) -> dict[str, Any]:
    """What a record says of an attack: its domain, its access and its parameters.

    access: `white-box`, or `none` (knows nothing of the network and asks it nothing).
    """
    parameters: dict[str, Any] = (
        dataclasses.asdict(attack)
        if dataclasses.is_dataclass(attack) and not isinstance(attack, type)
        else {}
    )
    return {
        "domain": attack.domain,
        "access": "white-box" if attack.white_box else "none",
        "control": attack.control,
        **parameters,
    }
