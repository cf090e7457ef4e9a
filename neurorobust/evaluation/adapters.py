"""Our attacks behind the calls that people know: Foolbox's and torchattacks'.

raw, clipped, success = FoolboxCall(find("sa-pgd"))(classifier, x, labels, epsilons=[.1, .2])
adversarial = TorchattacksCall(classifier, find("sa-pgd"), "8/255")(x, labels)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.base import Attack
from neurorobust.budgets import Budget, ImageBudget, parse
from neurorobust.classifier import Classifier
from neurorobust.evaluation.trial import propose
from neurorobust.types import Labels


@dataclass(frozen=True)
class FoolboxCall:
    """An attack on images, called as Foolbox's are.

    Source of the form: Foolbox 3, `foolbox.attacks.base.Attack.__call__`.

    Attributes:
        attack: with a budget `eps`.
        norm: of the epsilons.
        seed: of everything random; the same for every epsilon.
    """

    attack: Attack
    norm: str = "linf"
    seed: int = 0

    def __call__(
        self,
        model: Classifier,
        inputs: Tensor,
        criterion: Labels,
        *,
        epsilons: Sequence[float] | float,
    ) -> tuple[list[Tensor] | Tensor, list[Tensor] | Tensor, Tensor]:
        """Raw proposals, the same in the budget, and whether the model is wrong of the latter.

        Args:
            model: a classifier (not a Foolbox model).
            inputs: images `[batch, C, H, W]` in [0, 1].
            criterion: the true labels, int64 `[batch]`.
            epsilons: one, or several.

        Returns:
            lists with one tensor an epsilon and bool `[epsilons, batch]`; for one number, tensors
            and bool `[batch]`.

        Raises:
            BadInput: as the attack, or an epsilon that is none.
        """
        several = isinstance(epsilons, Sequence)
        raw, clipped, success = [], [], []
        for epsilon in epsilons if isinstance(epsilons, Sequence) else [epsilons]:
            budget = ImageBudget(epsilon, self.norm)
            generator = torch.Generator().manual_seed(self.seed)
            made = propose(model, inputs, criterion, self.attack, budget, generator)
            raw.append(made.raw)
            clipped.append(made.adversarial)
            success.append(model.predict(made.adversarial, generator) != criterion)
        if several:
            return raw, clipped, torch.stack(success)
        return raw[0], clipped[0], success[0]


@dataclass
class TorchattacksCall:
    """An attack bound to a classifier and a budget, called as torchattacks' are.

    Source of the form: torchattacks 3, `torchattacks.attack.Attack.__call__`: images and labels in,
    adversarial images out. Every call goes on in one stream of random numbers.

    Attributes:
        classifier: the target.
        attack: any.
        budget: a budget, or one as typed (`8/255`, `l2:0.5`).
        seed: of everything random.
    """

    classifier: Classifier
    attack: Attack
    budget: Budget | str
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.budget, str):
            self.budget = parse(self.attack.kind, self.budget)
        self.generator = torch.Generator().manual_seed(self.seed)

    def __call__(self, images: Tensor, labels: Labels) -> Tensor:
        """Adversarial images (or spikes) inside the budget, of the images' shape.

        Raises:
            BadInput: as the attack.
        """
        assert not isinstance(self.budget, str)
        given = (self.classifier, images, labels, self.attack, self.budget, self.generator)
        return propose(*given).adversarial
