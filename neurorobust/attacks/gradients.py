"""What an attack asks for: the gradient of a loss, by a backward mode, averaged over draws.

Optimisers (PGD, SA-PGD, SDA ...) know nothing of surrogates, and modes nothing of optimisers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks import objectives
from neurorobust.attacks.best import Standing
from neurorobust.attacks.modes import PLAIN, Mode, Pass
from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput
from neurorobust.types import Labels


@dataclass(frozen=True)
class Gradient:
    """How an attack differentiates.

    Attributes:
        mode: the backward mode.
        draws: independent queries averaged inside each gradient where the encoder is random
            (expectation over transformation, Athalye et al., ICML 2018); otherwise there is one.
        loss: a name of `objectives.LOSSES`; it is maximised.
    """

    mode: Mode = PLAIN
    draws: int = 10
    loss: str = "margin"

    def __post_init__(self) -> None:
        if self.loss not in objectives.LOSSES:
            known = ", ".join(objectives.LOSSES)
            raise BadInput(f"loss {self.loss!r}: unknown, known: {known}")
        if self.draws < 1:
            raise BadInput(f"draws {self.draws}: below 1")

    def start(self, classifier: Classifier) -> GradientSource:
        """For one attack call on one batch.

        Args:
            classifier: on a differentiable backend.
        """
        draws = self.draws if classifier.encoder.random else 1
        return GradientSource(
            objectives.unscaled(classifier), self.mode.start(), draws, objectives.LOSSES[self.loss]
        )


@dataclass
class GradientSource:
    """Gradients of one batch, one after the other."""

    classifier: Classifier
    backward: Pass
    draws: int
    loss: objectives.Loss

    def __call__(
        self,
        x: Tensor,
        labels: Labels,
        generator: torch.Generator,
        target: Labels | None = None,
    ) -> tuple[Tensor, Standing]:
        """The gradient with respect to x, averaged over independent queries.

        Args:
            x: images or spikes; left as it is.
            labels: true classes.
            generator: feeds random encoders; every query draws afresh.
            target: classes to be mistaken for (targeted losses), or None.

        Returns:
            gradient (float32, x's shape; what is not finite is set to 0), and how x stands: broken
            by the readout's own tie rule, and the (scale-free) margin.
        """
        gradient, total = torch.zeros_like(x, dtype=torch.float32), Standing.nothing(x)
        for draw in range(self.draws):
            self.backward.begin(draw)
            prepared = self.classifier.with_backward(self.backward.backward)
            point = x.detach().to(torch.float32, copy=True).requires_grad_()
            with torch.set_grad_enabled(True):
                logits = prepared.logits(point, generator)
                loss = self.loss(logits, labels, target)
                (one,) = torch.autograd.grad(loss.sum(), point)
            gradient += torch.nan_to_num(one, nan=0.0, posinf=0.0, neginf=0.0) / self.draws
            total += objectives.standing(logits.detach(), labels) / self.draws
        return gradient, total

    def look(self, x: Tensor, labels: Labels, generator: torch.Generator) -> Standing:
        """How x stands, without a gradient, over as many draws."""
        return objectives.mean_standing(self.classifier, x, labels, generator, self.draws)

    def keep(self, rows: Tensor) -> None:
        """From now on only these samples are asked about."""
        self.backward.keep(rows)
