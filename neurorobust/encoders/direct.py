"""Direct: x already is binary spikes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from neurorobust.encoders.base import Entrance, Parameters, Shape, check_fit
from neurorobust.errors import BadInput

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from neurorobust.types import Inputs


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
    input_layer: ClassVar[bool | None] = None
    takes: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[dict[str, float]] = {}

    @classmethod
    def make(cls, parameters: Parameters, steps: int, entrance: Entrance) -> DirectEncoder:
        """See `Encoder.make`; the data decide the steps."""
        del parameters, steps
        return cls(entrance.shape)

    @staticmethod
    def words(parameters: Parameters) -> str:
        """See `Encoder.words`."""
        del parameters
        return "the data are spikes already"

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Inputs:
        """uint8 spikes `[batch, *input_shape, time]`; the generator is not used.

        Raises:
            BadInput: x has not five axes, does not fit, or holds anything but 0 and 1.
        """
        from neurorobust.types import Inputs

        return Inputs.of(self._checked(x).detach().byte())

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Inputs:
        """The same spikes as float32; the gradient passes unchanged."""
        from neurorobust.types import Inputs

        return Inputs.of(self._checked(x).float())

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
