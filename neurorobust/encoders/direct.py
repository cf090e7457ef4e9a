"""Direct: x already is binary spikes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.encoders.base import Shape, check_fit
from neurorobust.errors import BadInput
from neurorobust.types import Spikes


@dataclass
class DirectEncoder:
    """x already is binary spikes `[batch, C, H, W, time]` and passes through.

    Attributes:
        input_shape: (C, H, W) of the network's input.
    """

    input_shape: Shape
    name = "direct"
    domain = "spikes"
    steps = 0
    random = False

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Spikes:
        """uint8 spikes `[batch, *input_shape, time]`; the generator is not used.

        Raises:
            BadInput: x has not five axes, does not fit, or holds anything but 0 and 1.
        """
        return self._checked(x).detach().to(torch.uint8)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The same spikes as float32; the gradient passes unchanged."""
        return self._checked(x).to(torch.float32)

    def _checked(self, x: Tensor) -> Tensor:
        if x.dim() != 5:
            raise BadInput(
                f"direct: x has {x.dim()} axes, need 5 (batch, channel, height, width, time)"
            )
        check_fit(self.name, x.shape[1:4], self.input_shape)
        if x.shape[4] < 1:
            raise BadInput("direct: x has 0 time steps, need at least 1")
        bad = (x != 0) & (x != 1)
        if bool(bad.any()):
            sample = int(bad.flatten(1).any(1).nonzero()[0])
            raise BadInput(f"direct: sample {sample} holds {x[bad][0].item():g}, neither 0 nor 1")
        return x.reshape(x.shape[0], *self.input_shape, x.shape[4])
