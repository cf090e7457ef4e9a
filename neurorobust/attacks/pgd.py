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
    returns the last iterate; here the iterate with the largest margin is returned, each sample its
    own: a success at any iterate is kept.
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
        descent = _Descent(self, self._prepared(classifier), generator)
        model = PyTorchModel(descent.classifier.module(generator), bounds=PIXELS, device=x.device)
        criterion = Misclassification(labels)
        last = descent.run(model, x.detach(), criterion, epsilon=budget.epsilon)
        return descent.best(last, labels).to(x.dtype)

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The gradient of the normalised margin at x, averaged as in the attack."""
        draws = self.queries(classifier)
        return objectives.margin_gradient(self._prepared(classifier), x, labels, generator, draws)[
            0
        ]

    def queries(self, classifier: Classifier) -> int:
        """Queries inside each gradient."""
        return self.draws if classifier.encoder.random else 1

    def _prepared(self, classifier: Classifier) -> Classifier:
        return objectives.unscaled(classifier.with_surrogate(self.surrogate))


class _Descent(LinfProjectedGradientDescentAttack):
    """Foolbox's loop with our randomness, loss, averaging and memory; made for one call."""

    def __init__(self, attack: PgdLinf, classifier: Classifier, generator: torch.Generator) -> None:
        super().__init__(
            rel_stepsize=attack.reach / attack.steps, steps=attack.steps, random_start=True
        )
        self.classifier = classifier
        self.generator = generator
        self.draws = attack.queries(classifier)
        self.kept: Tensor | None = None
        self.kept_margin = torch.empty(0)
        self.margin = torch.empty(0)  # of the latest query

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
            self.margin = objectives.margin(logits, labels.raw).detach()
            return eagerpy.astensor(objectives.normalised_margin(logits, labels.raw).sum())

        return loss

    def value_and_grad(
        self, loss_fn: Callable[[eagerpy.Tensor], eagerpy.Tensor], x: eagerpy.Tensor
    ) -> tuple[eagerpy.Tensor, eagerpy.Tensor]:
        """The mean over `draws` independent queries; remembers x where the margin is largest."""
        gradient, margin = torch.zeros_like(x.raw), torch.zeros(len(x), device=x.raw.device)
        for _ in range(self.draws):
            _, one = super().value_and_grad(loss_fn, x)
            gradient += torch.nan_to_num(one.raw, nan=0.0, posinf=0.0, neginf=0.0) / self.draws
            margin += self.margin / self.draws
        self._keep(x.raw, margin)
        return eagerpy.astensor(margin.sum()), eagerpy.astensor(gradient)

    def best(self, last: Tensor, labels: Labels) -> Tensor:
        """The iterate with the largest margin, the last one included."""
        self._keep(
            last,
            objectives.mean_margin(self.classifier, last, labels, self.generator, self.draws),
        )
        assert self.kept is not None
        return self.kept

    def _keep(self, x: Tensor, margin: Tensor) -> None:
        if self.kept is None:
            self.kept, self.kept_margin = x.clone(), margin.clone()
            return
        better = margin > self.kept_margin
        self.kept[better] = x[better]
        self.kept_margin = torch.where(better, margin, self.kept_margin)
