"""A network is a file and its card; a classifier is a network on an open backend.

The classifier is what is right or wrong, and what is attacked: encoder + backend + readout.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from neurorobust.backends.base import Backend, DifferentiableBackend
from neurorobust.backends.registry import Settings, open_backend
from neurorobust.encoders import Encoder, Entrance
from neurorobust.errors import BadInput, CardError
from neurorobust.netx.model import NetxModel
from neurorobust.readouts import Readout
from neurorobust.records import Card
from neurorobust.surrogates import DEFAULT, Backward
from neurorobust.types import Labels, Logits, Run


@dataclass(frozen=True)
class Network:
    """A deployed network.

    Attributes:
        name: of the catalogue, or the file's.
        model: the `.net` file as data.
        card: what the file does not say: how the network is fed and read.
    """

    name: str
    model: NetxModel
    card: Card

    @property
    def encoder(self) -> Encoder:
        """What turns x into its inputs.

        Raises:
            CardError: the network has not the input layer for it.
        """
        layer = self.model.input_layer
        entrance = Entrance(self.model.input_shape)
        if layer is not None:
            entrance = Entrance(self.model.input_shape, layer.weight, layer.bias)
        try:
            return self.card.encoder.code.make(self.card.encoder, self.card.steps, entrance)
        except BadInput as error:
            raise CardError(str(error)) from None

    @property
    def readout(self) -> Readout:
        """What turns its output into an answer."""
        return Readout.of(self.card.readout, self.card.steps, self.card.logit_scale)

    def classifier(self, backend: Backend) -> Classifier:
        """On a backend that is open already."""
        return Classifier(self.encoder, backend, self.readout, network=self)

    @contextmanager
    def open(
        self, backend: str = "engine", settings: Settings | None = None
    ) -> Iterator[Classifier]:
        """On a backend by name (`engine`, `reference`, `lava`, `loihi2`), closed afterwards.

        Raises:
            BadInput: unknown name.
            CardError: see `encoder`.
            UnavailableError: the backend needs something that is not installed.

        Example:
            >>> with load("digits-mlp").open() as classifier:
            ...     classifier.backend.name
            'engine'
        """
        with open_backend(backend, self.model, settings) as opened:
            yield self.classifier(opened)


@dataclass(frozen=True)
class Classifier:
    """Encoder + backend + readout, and the backward pass of its gradients.

    `x` is what the encoder takes: images float `[batch, C, H, W]` in [0, 1], or spikes
    `[batch, C, H, W, time]`. The generator feeds random encoders; every call draws afresh from it.

    Attributes:
        encoder: turns x into inputs of the network.
        backend: runs the network.
        readout: turns what comes out into integers, logits and labels.
        backward: what stands for a spike's derivative.
        network: whose it is; None: nobody's that has a card.
    """

    encoder: Encoder
    backend: Backend
    readout: Readout
    backward: Backward = DEFAULT
    network: Network | None = None

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
