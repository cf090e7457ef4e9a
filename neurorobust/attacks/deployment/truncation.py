"""Truncation: right on the aligned clock, wrong where the answer is read in the sample's steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.objectives import normalised_margin, unscaled
from neurorobust.backends.base import ALIGNED, GLOBAL, DifferentiableBackend
from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput
from neurorobust.netx.model import SynapseLayer
from neurorobust.readouts import first_argmax
from neurorobust.types import Inputs, Labels

SLIGHT = 0.05  # the margin by which the aligned answer is kept right


@dataclass(frozen=True)
class Truncation:
    """What the last L steps of a sample and the latency of L synapses can change.

    On the global clock, read for as many steps as the sample has, the output layer has seen all but
    the sample's last L steps (and layers with a bias have integrated it before). The value is the
    smaller of the normalised margins by which that answer is wrong and the aligned one right, and 1
    more where it is so. The stand-in reads the aligned network L steps earlier, which is the same
    where there is no bias; the aligned answer counts only where it is in danger.
    Published nowhere; ours.
    """

    name = "truncation"

    def value(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """1/2 and above: the two clocks disagree, and the aligned one is right."""
        inputs = classifier.encoder.encode(x, generator)
        late, aligned = (
            unscaled(classifier).readout.logits(classifier.backend.run(inputs, clock=clock))
            for clock in (GLOBAL, ALIGNED)
        )
        apart = (first_argmax(aligned) == labels) & (first_argmax(late) != labels)
        margins = [normalised_margin(late, labels), -normalised_margin(aligned, labels)]
        return torch.minimum(*margins).double() / 2 + apart

    def promise(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """See the class.

        Raises:
            BadInput: no more steps than synapses, or a backend without gradients.
        """
        inputs = classifier.encoder.forward(x, generator)
        readout, backend = unscaled(classifier).readout, classifier.backend
        if not isinstance(backend, DifferentiableBackend):
            raise BadInput(f"truncation: backend {backend.name} has no gradients, use engine")
        late, aligned = (
            normalised_margin(readout.logits(backend.forward(given, classifier.backward)), labels)
            for given in (_shorter(classifier, inputs), inputs)
        )
        return late - (aligned + SLIGHT).clamp_min(0)


def _shorter(classifier: Classifier, inputs: Inputs) -> Inputs:
    """Without the last L steps."""
    layers = classifier.backend.model.layers
    lost = sum(isinstance(layer, SynapseLayer) for layer in layers)
    if inputs.steps <= lost:
        raise BadInput(
            f"truncation: {inputs.steps} steps, not above the latency of {lost} synapses"
        )
    return inputs.first_steps(inputs.steps - lost)
