"""Latency: one spike a pixel, the earlier the brighter."""

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

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from neurorobust.types import Inputs


@dataclass
class LatencyEncoder:
    """Time to first spike: one spike at step `min(floor((1 - x) * steps), steps - 1)`, none at 0.

    Latency codes: Thorpe, Parallel Processing in Neural Systems (1990); for networks Mostafa, IEEE
    TNNLS 29 (2018). Computed in float64 of x as it is.

    Attributes:
        input_shape: (C, H, W) of the network's input.
        steps: number of time steps, ≥ 1.
    """

    input_shape: Shape
    steps: int
    name = "latency"
    domain = "images"
    random = False
    input_layer: ClassVar[bool | None] = False
    takes: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[dict[str, float]] = {}

    @classmethod
    def make(cls, parameters: Parameters, steps: int, entrance: Entrance) -> LatencyEncoder:
        """See `Encoder.make`."""
        del parameters
        return cls(entrance.shape, steps)

    @staticmethod
    def words(parameters: Parameters) -> str:
        """See `Encoder.words`."""
        del parameters
        return "one spike a pixel, the earlier the brighter, none for 0"

    def __post_init__(self) -> None:
        check_steps(self.name, self.steps)

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Inputs:
        """uint8 spikes `[batch, *input_shape, steps]`; the generator is not used.

        Raises:
            BadInput: x is no batch of images in [0, 1] or does not fit.
        """
        from neurorobust.types import Inputs

        return Inputs.of(self._spikes(x).byte())

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Inputs:
        """The same spikes as float32, with a straight-through gradient of the time.

        The time (1 - x) * steps is taken as if it were not rounded down, so dt/dx = -steps. To what
        is downstream, a spike of step k that comes earlier by dt is dt more of a spike at k - 1,
        one that comes later dt more at k + 1, and as much less at k; the two are averaged. At the
        first step it can only come later; after the last step there is no spike, and an x of 0 has
        one that can only come earlier. Our form.
        """
        import torch

        from neurorobust.types import Inputs

        spikes: Tensor = self._spikes(x).float()
        none = 1 - spikes.sum(-1, keepdim=True)
        columns = torch.cat([spikes, none], -1)  # the last stands for no spike
        earlier = torch.nn.functional.pad(columns[..., 1:], (0, 1)) - columns
        later = torch.nn.functional.pad(columns[..., :-1], (1, 0)) - columns
        share = 0.5 + 0.5 * columns[..., :1] - 0.5 * none  # of what can only come later, all
        slope = self.steps * ((1 - share) * earlier - share * later)
        zero = zero_with_gradient(x).reshape(*spikes.shape[:-1], 1)
        spikes += slope[..., :-1] * zero
        return Inputs.of(spikes)

    def _spikes(self, x: Tensor) -> Tensor:
        """Bool `[batch, *input_shape, steps]`."""
        import torch

        check_images(self.name, x, self.input_shape)
        value = x.detach().double().reshape(len(x), *self.input_shape, 1)
        time = ((1 - value) * self.steps).floor().clamp_max(self.steps - 1)
        spikes: Tensor = (time == torch.arange(self.steps, device=x.device)) & (value > 0)
        return spikes
