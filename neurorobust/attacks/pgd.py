"""Projected gradient descent in the L-infinity ball, by Foolbox."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import eagerpy
import torch
from foolbox.attacks.projected_gradient_descent import LinfProjectedGradientDescentAttack
from foolbox.criteria import Misclassification
from foolbox.models.base import Model
from foolbox.models.pytorch import PyTorchModel
from torch import Tensor

from neurorobust.attacks import objectives
from neurorobust.attacks.best import Best, Standing
from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput
from neurorobust.surrogates import DEFAULT, Surrogate
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
        surrogate: what the backward pass believes of a spike.
    """

    steps: int = 40
    reach: float = 2.5
    draws: int = 10
    surrogate: Surrogate = DEFAULT
    name = "pgd-linf"
    domain = "images"
    white_box = True
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
        if not isinstance(budget, ImageBudget):
            raise BadInput(f"{self.name}: needs a budget on images (eps), got {budget}")
        if budget.epsilon == 0:
            return x.clone()
        prepared, draws = self._prepared(classifier), self.queries(classifier)
        model = PyTorchModel(prepared.module(generator), bounds=PIXELS, device=x.device)
        best = Best.start(x)
        descent = _Descent(self, draws, best, generator)
        last = descent.run(model, x.detach(), Misclassification(labels), epsilon=budget.epsilon)
        best.show(last, objectives.mean_standing(prepared, last, labels, generator, draws))
        return best.x

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The gradient of the normalised margin at x, averaged as in the attack."""
        prepared, draws = self._prepared(classifier), self.queries(classifier)
        gradient, _ = objectives.margin_gradient(prepared, x, labels, generator, draws)
        return gradient

    def queries(self, classifier: Classifier) -> int:
        """Queries inside each gradient."""
        return self.draws if classifier.encoder.random else 1

    def _prepared(self, classifier: Classifier) -> Classifier:
        return objectives.unscaled(classifier.with_surrogate(self.surrogate))


class _Descent(LinfProjectedGradientDescentAttack):
    """Foolbox's loop with our randomness, loss, averaging and memory; made for one call."""

    def __init__(self, attack: PgdLinf, draws: int, best: Best, generator: torch.Generator) -> None:
        super().__init__(
            rel_stepsize=attack.reach / attack.steps, steps=attack.steps, random_start=True
        )
        self.draws = draws
        self.best = best
        self.generator = generator
        self.latest = Standing.nothing(best.x)  # of the latest query

    def get_random_start(self, x0: eagerpy.Tensor, epsilon: float) -> eagerpy.Tensor:
        """Uniform in the ball, from the caller's generator instead of torch's global one."""
        noise = torch.rand(x0.shape, generator=self.generator).to(x0.raw.device)
        return x0 + eagerpy.astensor((2 * noise - 1) * epsilon)

    def get_loss_fn(
        self, model: Model, labels: eagerpy.Tensor
    ) -> Callable[[eagerpy.Tensor], eagerpy.Tensor]:
        """The normalised margin, summed over the batch, so that samples do not see each other."""

        def loss(inputs: eagerpy.Tensor) -> eagerpy.Tensor:
            logits = model(inputs).raw
            self.latest = objectives.standing(logits.detach(), labels.raw)
            return eagerpy.astensor(objectives.normalised_margin(logits, labels.raw).sum())

        return loss

    def value_and_grad(
        self, loss_fn: Callable[[eagerpy.Tensor], eagerpy.Tensor], x: eagerpy.Tensor
    ) -> tuple[eagerpy.Tensor, eagerpy.Tensor]:
        """The mean over `draws` independent queries; shows x to the memory."""
        gradient, standing = torch.zeros_like(x.raw), Standing.nothing(x.raw)
        for _ in range(self.draws):
            _, one = super().value_and_grad(loss_fn, x)
            gradient += torch.nan_to_num(one.raw, nan=0.0, posinf=0.0, neginf=0.0) / self.draws
            standing += self.latest / self.draws
        self.best.show(x.raw, standing)
        return eagerpy.astensor(standing.margin.sum()), eagerpy.astensor(gradient)
