"""encoder + backend + readout: the thing that is right or wrong, and that is attacked."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from neurorobust.backends.base import Backend, DifferentiableBackend
from neurorobust.encoders import Encoder
from neurorobust.errors import BadInput
from neurorobust.readouts import Readout
from neurorobust.surrogates import DEFAULT, Backward
from neurorobust.types import Labels, Logits, Run


@dataclass(frozen=True)
class Classifier:
    """A network with its eyes and its mouth.

    `x` is what the encoder takes: images float `[batch, C, H, W]` in [0, 1], or spikes
    `[batch, C, H, W, time]`. The generator feeds random encoders; every call draws afresh from it.
    """

    encoder: Encoder
    backend: Backend
    readout: Readout
    backward: Backward = DEFAULT

    @property
    def differentiable(self) -> bool:
        """Whether `logits` can carry gradients."""
        return isinstance(self.backend, DifferentiableBackend)

    def run(self, x: Tensor, generator: torch.Generator | None = None) -> Run:
        """Encode and run on the target: exact integers, no gradients."""
        with torch.no_grad():
            return self.backend.run(self.encoder.encode(x, generator))

    def predict(self, x: Tensor, generator: torch.Generator | None = None) -> Labels:
        """Labels int64 `[batch]`, by the readout's tie rule."""
        return self.readout.labels(self.run(x, generator))

    def logits(self, x: Tensor, generator: torch.Generator | None = None) -> Logits:
        """`[batch, classes]`, differentiable with respect to x when the backend is.

        The numbers are those of `run` in every case; `forward` computes them only where gradients
        are recorded.
        """
        if not (torch.is_grad_enabled() and x.requires_grad):
            return self.readout.logits(self.run(x, generator)).to(torch.float32)
        if not isinstance(self.backend, DifferentiableBackend):
            raise BadInput(
                f"backend {self.backend.name}: no gradients; engine and slayer have them"
            )
        inputs = self.encoder.forward(x, generator)
        return self.readout.logits(self.backend.forward(inputs, self.backward))

    def with_backward(self, backward: Backward) -> Classifier:
        """The same classifier with another backward pass; its answers do not change."""
        return replace(self, backward=backward)

    def module(self, generator: torch.Generator | None = None) -> nn.Module:
        """The classifier as a `torch.nn.Module`, for Foolbox, AutoAttack and ART."""
        return ClassifierModule(self, generator)


class ClassifierModule(nn.Module):
    """`forward(x) -> logits`; holds no parameters, is always in evaluation mode."""

    def __init__(self, classifier: Classifier, generator: torch.Generator | None) -> None:
        super().__init__()
        self.classifier = classifier
        self.generator = generator
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[batch, classes]`."""
        return self.classifier.logits(x, self.generator)
