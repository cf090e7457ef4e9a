"""Overflow: drive the current u out of its 24 bits, where the chip's rule wraps it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neurorobust.attacks.deployment.prefix import current_of
from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.engine.overflow import before_wrap, bounds
from neurorobust.classifier import Classifier
from neurorobust.fixedpoint import STATE_LIMIT
from neurorobust.types import Inputs, Labels


@dataclass(frozen=True)
class Overflow:
    """The largest |u| before it wraps over 2^23, in layers that can wrap at all; above 1: it did.

    SLAYER does not wrap, so that such an input also tells the float network from the deployed one.
    The bound holds for any binary input; where no layer's reaches 2^23 there is nothing to climb
    and x stays as it is. The stand-in is |u| after the last step. Published nowhere; ours.
    """

    name = "overflow"

    def value(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The largest over layers, neurons and steps; 0 where nothing can wrap."""
        inputs = classifier.encoder.encode(x, generator)
        reached = torch.zeros(len(x), dtype=torch.float64)
        for number in _able(classifier, inputs):
            assert isinstance(classifier.backend, EngineBackend)
            current = before_wrap(classifier.backend, inputs, number)
            peak = torch.from_numpy(np.abs(current).max((1, 2)) / STATE_LIMIT)
            reached = torch.maximum(reached, peak)
        return reached

    def promise(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """|u| after the last step, of the neuron where it is largest, over layers."""
        inputs = classifier.encoder.forward(x, generator)
        total = torch.zeros(len(x))
        for number in _able(classifier, inputs):
            run = current_of(classifier.backend.model, number).forward(inputs, classifier.backward)
            total = total + run.membrane.abs().amax(-1) / STATE_LIMIT
        return total


def _able(classifier: Classifier, inputs: Inputs) -> list[int]:
    """Numbers of the layers that can wrap within these steps."""
    assert isinstance(classifier.backend, EngineBackend)
    return [bound.layer for bound in bounds(classifier.backend, inputs.steps) if bound.can_wrap]
