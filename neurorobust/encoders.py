"""x -> what the network is fed. (Being written.)"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from neurorobust.types import Inputs


class Encoder(Protocol):
    """Turns a batch of x into network inputs.

    Attributes:
        name: its name on cards and the command line.
        domain: `images` (x is float `[batch, C, H, W]` in [0, 1], before any normalisation) or
            `spikes` (x already is binary `[batch, C, H, W, time]`).
        steps: time steps of the encoded input (0 where the data decide).
        random: whether every call draws afresh from the generator.
    """

    name: str
    domain: str
    steps: int
    random: bool

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Inputs:
        """The exact integers: uint8 spikes `[batch, *input_shape, steps]` or int32 `Drive`."""
        ...

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Inputs:
        """The same values in float32 tensors; gradients go straight through rounding and sampling.

        With generators in the same state `encode` and `forward` give the same numbers.
        """
        ...
