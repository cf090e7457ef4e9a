"""Poisson: one independent coin a pixel and step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from neurorobust.encoders.base import (
    Entrance,
    Parameters,
    Shape,
    check_images,
    check_steps,
    zero_with_gradient,
)
from neurorobust.errors import BadInput

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from neurorobust.types import Inputs


@dataclass
class PoissonEncoder:
    """Rate code: `P(spike) = gain * x`, drawn afresh at every call.

    One independent coin a sample, pixel and step. Ours is unsigned: pixels are in [0, 1] and a
    spike is a 1. (Sharmin et al., ECCV 2020, arXiv:2003.10399, draw signed spikes with P = |x| for
    x in [-1, 1], which binary inputs cannot hold.) Rate codes: Adrian, J. Physiology 61 (1926); for
    networks Diehl & Cook, Frontiers in Computational Neuroscience 9 (2015).

    The coins are drawn on the CPU in the order batch, channel, height, width, step, so that one
    generator state gives the same spikes on every device, and the first samples of a batch do not
    depend on those after them.

    Attributes:
        input_shape: (C, H, W) of the network's input.
        steps: number of time steps, ≥ 1.
        gain: in (0, 1].
    """

    input_shape: Shape
    steps: int
    gain: float = 1.0
    name = "poisson"
    domain = "images"
    random = True
    input_layer: ClassVar[bool | None] = False
    takes: ClassVar[tuple[str, ...]] = ("gain",)
    needs: ClassVar[dict[str, float]] = {}

    @classmethod
    def make(cls, parameters: Parameters, steps: int, entrance: Entrance) -> PoissonEncoder:
        """See `Encoder.make`."""
        return cls(entrance.shape, steps, parameters.gain)

    @staticmethod
    def words(parameters: Parameters) -> str:
        """See `Encoder.words`."""
        return (
            f"random spikes, one with probability {parameters.gain:g} times the pixel at every step"
        )

    def __post_init__(self) -> None:
        check_steps(self.name, self.steps)
        if not 0 < self.gain <= 1:
            raise BadInput(f"poisson: gain {self.gain} outside (0, 1]")

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Inputs:
        """uint8 spikes `[batch, *input_shape, steps]`.

        Raises:
            BadInput: no CPU generator given, x is no batch of images in [0, 1] or does not fit.
        """
        from neurorobust.types import Inputs

        return Inputs.of(self._draw(x, generator).byte())

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Inputs:
        """The same draw as float32; d spike / d x = gain at every step (straight through the coin).

        Source: Bengio et al., arXiv:1308.3432 (straight-through estimator; unbiased for the
        expected spike).
        """
        from neurorobust.types import Inputs

        slope = self.gain * zero_with_gradient(x).reshape(len(x), *self.input_shape, 1)
        return Inputs.of(self._draw(x, generator).float() + slope)

    def _draw(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        import torch

        check_images(self.name, x, self.input_shape)
        if generator is None or generator.device.type != "cpu":
            given = "none" if generator is None else str(generator.device)
            raise BadInput(f"poisson: needs a generator on the CPU, given: {given}")
        rate = self.gain * x.detach().float().reshape(len(x), *self.input_shape, 1)
        coins = torch.rand((*rate.shape[:-1], self.steps), generator=generator)
        return coins.to(x.device) < rate  # coins are in [0, 1): 0 never spikes, 1 always does
