"""A SLAYER network: lava-dl's blocks in order, fed spikes or drive."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from neurorobust.errors import BadInput
from neurorobust.networks.block_network import BlockNetwork
from neurorobust.networks.blocks import call, cnn, mlp
from neurorobust.networks.input import InputBlock
from neurorobust.networks.spec import NetworkSpec
from neurorobust.types import Inputs

KINDS = {"mlp": mlp, "cnn": cnn, "recurrent": mlp}


class SlayerNetwork(BlockNetwork):
    """Trains with SLAYER's surrogate gradients and computes the chip's integers before export.

    Attributes:
        spec: what it was built from.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__(KINDS[spec.kind](spec), spec.input_shape)
        self.spec = spec

    def forward(self, inputs: Inputs | Tensor) -> Tensor:
        """Output spikes float `[batch, classes, time]`.

        Args:
            inputs: spikes `[batch, C, H, W, time]` holding 0 and 1 (an on-chip input layer before
                them is skipped), or drive; float tensors carry gradients.

        Raises:
            BadInput: drive for a network without an on-chip input layer, or another shape than
                its input's.
        """
        *_, spikes = self.layers(inputs).values()
        return spikes

    def layers(self, inputs: Inputs | Tensor) -> dict[int, Tensor]:
        """Every spiking layer's output `[batch, neurons, time]`, by the layer's number.

        Neurons are in C, H, W order. Arguments and errors as for `forward`.
        """
        found: dict[int, Tensor] = {}
        inputs = Inputs.of(inputs)
        x = self.start(inputs)
        if inputs.driven:
            found[0] = x.flatten(1, -2)
        for number, block in self.after_input():
            x = call(block, x)
            if hasattr(block, "neuron"):
                found[number] = x.flatten(1, -2)
        return found

    def start(self, inputs: Inputs) -> Tensor:
        """What the first synapse is given, float `[batch, C, H, W, time]`."""
        first: Any = self.blocks[0]
        given = tuple(inputs.values.shape[1:4])
        if given != self.spec.input_shape:
            raise BadInput(
                f"network: input shape {given} does not match {self.spec.input_shape} (C, H, W)"
            )
        if not inputs.driven:
            return inputs.values.to(torch.get_default_dtype())
        if not isinstance(first, InputBlock):
            raise BadInput(
                "drive: the network has no on-chip input layer "
                f"(encoder {self.spec.encoder}), give it spikes"
            )
        spikes: Tensor = first(inputs.values, inputs.steps)
        return spikes


def build(spec: NetworkSpec) -> SlayerNetwork:
    """A network with fresh weights (from torch's global generator), its shapes already known.

    Example:
        >>> from neurorobust.networks import NetworkSpec, build
        >>> spec = NetworkSpec(kind="mlp", input_shape=(1, 8, 8), classes=10, steps=16)
        >>> len(build(spec).blocks)
        4

    Raises:
        UnavailableError: lava-dl is not installed.
    """
    network = SlayerNetwork(spec)
    network.settle()
    return network
