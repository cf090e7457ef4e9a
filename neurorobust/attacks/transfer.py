"""Transfer attack: adversarial examples crafted on another network, scored on this one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neurorobust.attacks.base import Attack
from neurorobust.budgets import Budget
from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput
from neurorobust.types import Labels


@dataclass(frozen=True)
class Transfer:
    """Runs an attack on `source` and proposes what it found; the target is not asked.

    Leave `stop` of the attack False: examples that are barely misclassified carry over less.
    Papers: Szegedy et al., ICLR 2014; Papernot et al., arXiv:1605.07277 (2016).
    Threat model: all of another network (the float network before rounding, a twin without spikes:
    `twin.twin`), nothing of this one; the budget of the attack.

    Attributes:
        source: the network it is crafted on; its encoder takes the same x.
        attack: what crafts.
        origin: what the source is, for the name and the record: `float`, `ann` ...

    Raises:
        BadInput: a white-box attack and a source without gradients.
    """

    source: Classifier
    attack: Any
    origin: str = "float"
    access = "transfer"
    control = False

    def __post_init__(self) -> None:
        if self.attack.access == "white-box" and not self.source.differentiable:
            raise BadInput(f"{self.name}: backend {self.source.backend.name} has no gradients")

    @property
    def name(self) -> str:
        """`transfer:float:pgd-linf`."""
        return f"transfer:{self.origin}:{self.attack.name}"

    @property
    def kind(self) -> str:
        """That of the attack's budget."""
        inner: Attack = self.attack
        return inner.kind

    @property
    def norms(self) -> tuple[str, ...]:
        """Those of the attack."""
        taken: tuple[str, ...] = self.attack.norms
        return taken

    @property
    def may_return_x(self) -> bool:
        """That of the attack."""
        return bool(getattr(self.attack, "may_return_x", False))

    def __call__(
        self,
        classifier: Classifier,
        x: Tensor,
        labels: Labels,
        budget: Budget,
        generator: torch.Generator,
    ) -> Tensor:
        """Propose what the attack proposes against the source; `classifier` is not used.

        Raises:
            BadInput: as the attack.
        """
        proposal: Tensor = self.attack(self.source, x, labels, budget, generator)
        return proposal
