"""The spikes that enter a network's first synapse, and a classifier that takes them as input."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from neurorobust.classifier import Classifier
from neurorobust.encoders import DirectEncoder
from neurorobust.errors import BadInput
from neurorobust.types import Inputs, Spikes


def spike_view(
    classifier: Classifier, x: Tensor, generator: torch.Generator | None = None
) -> tuple[Classifier, Spikes]:
    """What an adversary on the spikes sees.

    For drive these are the spikes that the on-chip input layer emits, exactly; for a random encoder
    one draw; data that already are spikes pass unchanged.

    Args:
        classifier: any.
        x: what its encoder takes.
        generator: feeds a random encoder; with the state `classifier.run` had, the same spikes.

    Returns:
        the same network behind a `DirectEncoder`, and spikes uint8 `[batch, *input_shape, time]`.
    """
    direct = replace(classifier, encoder=DirectEncoder(classifier.backend.model.input_shape))
    return direct, first_spikes(classifier, classifier.encoder.encode(x, generator))


def first_spikes(classifier: Classifier, inputs: Inputs) -> Spikes:
    """What encoded inputs put into the first synapse: uint8 `[batch, *input_shape, time]`."""
    if not inputs.driven:
        return inputs.values
    layer = classifier.backend.model.input_layer
    if layer is None:
        raise BadInput("drive: the network has no on-chip input layer")
    trace = classifier.backend.run(inputs, record=[layer.number]).layers[layer.number]
    return trace.spikes.to(torch.uint8).reshape(len(inputs), *layer.shape, inputs.steps)
