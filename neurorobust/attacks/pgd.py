"""Projected gradient descent in the L-infinity ball, by Foolbox."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import eagerpy
import torch
from foolbox.attacks.projected_gradient_descent import LinfProjectedGradientDescentAttack
from foolbox.criteria import Misclassification
from foolbox.models.pytorch import PyTorchModel
from torch import Tensor

from neurorobust.attacks.best import Best
from neurorobust.attacks.gradients import Gradient, GradientSource
from neurorobust.attacks.modes import PLAIN, Mode
from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput
from neurorobust.types import Budget, ImageBudget, Labels

PIXELS = (0.0, 1.0)  # bounds of x, before any normalisation: that is the encoder's


@dataclass(frozen=True)
class PgdLinf:
    """`steps` sign steps of `reach * eps / steps` on the margin, from a random start in the ball.

    Paper: Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018;
    code: Foolbox 3 (`LinfProjectedGradientDescentAttack`) on the classifier's module face. Foolbox
    returns the last iterate; here the iterate that is misclassified (of several the one with the
    largest margin) is returned, each sample its own: a success at any iterate is kept.
    Threat model: white-box, L-infinity eps in pixel units [0, 1].

    Attributes:
        steps: gradient steps.
        reach: total path in units of eps (at 2.5 every start reaches every corner of the ball).
        draws: independent queries averaged inside each gradient where the encoder is random
            (expectation over transformation, Athalye et al., ICML 2018); otherwise there is one.
        mode: the backward mode.
    """

    steps: int = 40
    reach: float = 2.5
    draws: int = 10
    mode: Mode = PLAIN
    name = "pgd-linf"
    kind = "eps"
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
        """Propose images `[batch, C, H, W]`, float32 in [0, 1].

        Raises:
            BadInput: not an image budget, or a backend without gradients.
        """
        if not isinstance(budget, ImageBudget) or budget.norm != "linf":
            raise BadInput(f"{self.name}: needs an L-infinity budget on images, got {budget}")
        if budget.epsilon == 0:
            return x.clone()
        source = self.source(classifier)
        model = PyTorchModel(classifier.module(generator), bounds=PIXELS, device=x.device)
        best = Best.start(x)
        descent = _Descent(self, source, labels, best, generator)
        last = descent.run(model, x.detach(), Misclassification(labels), epsilon=budget.epsilon)
        best.show(last, source.look(last, labels, generator))
        return best.x

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The gradient of the normalised margin at x, averaged as in the attack."""
        return self.source(classifier)(x, labels, generator)[0]

    def source(self, classifier: Classifier) -> GradientSource:
        """Where the gradients of one call come from."""
        return Gradient(self.mode, self.draws).start(classifier)


class _Descent(LinfProjectedGradientDescentAttack):
    """Foolbox's loop with our randomness, gradients and memory; made for one call."""

    def __init__(
        self,
        attack: PgdLinf,
        source: GradientSource,
        labels: Labels,
        best: Best,
        generator: torch.Generator,
    ) -> None:
        super().__init__(
            rel_stepsize=attack.reach / attack.steps, steps=attack.steps, random_start=True
        )
        self.source = source
        self.labels = labels
        self.best = best
        self.generator = generator

    def get_random_start(self, x0: eagerpy.Tensor, epsilon: float) -> eagerpy.Tensor:
        """Uniform in the ball, from the caller's generator instead of torch's global one."""
        noise = torch.rand(x0.shape, generator=self.generator).to(x0.raw.device)
        return x0 + eagerpy.astensor((2 * noise - 1) * epsilon)

    def value_and_grad(
        self, loss_fn: Callable[[eagerpy.Tensor], eagerpy.Tensor], x: eagerpy.Tensor
    ) -> tuple[eagerpy.Tensor, eagerpy.Tensor]:
        """Our gradient in the place of Foolbox's; shows x to the memory."""
        gradient, standing = self.source(x.raw, self.labels, self.generator)
        self.best.show(x.raw, standing)
        return eagerpy.astensor(standing.margin.sum()), eagerpy.astensor(gradient)
