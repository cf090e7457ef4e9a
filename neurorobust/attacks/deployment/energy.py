"""Energy: as many synaptic operations as the budget allows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neurorobust.attacks.deployment.prefix import up_to
from neurorobust.classifier import Classifier
from neurorobust.hardware.energy import fan_out, own_fan_out
from neurorobust.netx.model import NetxModel, SynapseLayer
from neurorobust.types import Labels

FIRST = -1  # what is fed to the first synapse as spikes


@dataclass(frozen=True)
class Energy:
    """Synaptic operations of a run: the sum over all spikes of their fan-out, counted exactly.

    Prior art by its aim: Krithivasan et al., "Efficiency attacks on spiking neural networks", DAC
    2022; the gradient through every layer's spikes is our form.
    """

    name = "energy"

    def value(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """Operations of each sample, of one encoding."""
        model = classifier.backend.model
        inputs = classifier.encoder.encode(x, generator)
        costs = fan_outs(model)
        running = (layer.number for layer in model.running_layers(inputs.driven))
        numbers = [number for number in running if number in costs]
        with torch.no_grad():
            traces = classifier.backend.run(inputs, numbers).layers
        total = torch.zeros(len(x), dtype=torch.float64)
        for number in numbers:
            total += traces[number].spikes.sum(-1).double() @ costs[number]
        if not inputs.driven:
            total += inputs.values.flatten(1, 3).sum(-1).double() @ costs[FIRST]
        return total

    def promise(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The same sum; each layer's spikes by the network that ends there."""
        model = classifier.backend.model
        inputs = classifier.encoder.forward(x, generator)
        costs, total = fan_outs(model), torch.zeros(len(x))
        if not inputs.driven:
            total = total + inputs.values.flatten(1, 3).sum(-1) @ costs[FIRST].float()
        for layer in model.running_layers(inputs.driven):
            if layer.number in costs:
                run = up_to(model, layer.number).forward(inputs, classifier.backward)
                total = total + run.spikes.sum(-1) @ costs[layer.number].float()
        return total


def fan_outs(model: NetxModel) -> dict[int, Tensor]:
    """Synapses that a spike reaches, float64 `[neurons]`, by the layer it comes from.

    `FIRST` stands for spikes that are fed; the output layer's reach nothing.
    """
    found: dict[int, Tensor] = {}
    shape, source = model.input_shape, FIRST
    for layer in model.spiking_layers:
        if isinstance(layer, SynapseLayer):
            fan = torch.from_numpy(np.array(fan_out(layer, shape))).double()
            found[source] = found.get(source, torch.zeros(())) + fan
            if source != FIRST and FIRST not in found:
                found[FIRST] = fan  # fed spikes skip the on-chip input layer
        own = own_fan_out(layer)
        if own is not None:
            found[layer.number] = torch.from_numpy(own).double()
        shape, source = layer.shape, layer.number
    return found
