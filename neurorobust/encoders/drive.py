"""Drive: a constant bias into the on-chip input layer."""

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

BIAS_MIN, BIAS_MAX = -(1 << 15), (1 << 15) - 1  # Lava casts bias_mant to int16


@dataclass
class DriveEncoder:
    """Drive for an input layer on the chip: `trunc(weight * ((x - mean) / std) + bias)` in float64.

    Source: lava-dl 0.6.0 `block/cuba.py: Input` and `netx/blocks/process.py: Input` (`transform`),
    which Lava itself never applies.

    x is taken as the number it is; a float32 pixel is not snapped to a grey level. float32(k / 255)
    is never below k / 255 and at most 2^-25 above, so the drive of grey level k is the one of exact
    arithmetic, except where that is a negative integer and x is inexact: there it is 1 nearer to 0.
    The published MNIST network (76 * x + 64, mean = std = 0.5) has no such level.

    Attributes:
        input_shape: (C, H, W) of the input layer.
        weight, bias: of the input layer (`InputLayer.weight`, `.bias`).
        mean, std: normalisation of pixels in [0, 1].
        steps: for how many steps the drive is held, ≥ 1.
    """

    input_shape: Shape
    weight: float
    bias: float
    mean: float
    std: float
    steps: int
    name = "drive"
    domain = "images"
    random = False
    input_layer: ClassVar[bool | None] = True
    takes: ClassVar[tuple[str, ...]] = ("mean", "std")
    needs: ClassVar[dict[str, float]] = {"mean": 0, "std": 1}

    @classmethod
    def make(cls, parameters: Parameters, steps: int, entrance: Entrance) -> DriveEncoder:
        """See `Encoder.make`.

        Raises:
            BadInput: the network has no on-chip input layer.
        """
        if entrance.weight is None or entrance.bias is None:
            raise BadInput("encoder drive: the network has no on-chip input layer")
        feed = (entrance.shape, entrance.weight, entrance.bias)
        return cls(*feed, parameters.mean, parameters.std, steps)

    @staticmethod
    def words(parameters: Parameters) -> str:
        """See `Encoder.words`."""
        return (
            "each pixel drives an on-chip input neuron with "
            f"(pixel - {parameters.mean:g}) / {parameters.std:g}, in whole numbers"
        )

    def __post_init__(self) -> None:
        check_steps(self.name, self.steps)
        if not self.std > 0:
            raise BadInput(f"drive: std {self.std} not above 0")

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Inputs:
        """int32 drive; the generator is not used.

        Raises:
            BadInput: x is no batch of images in [0, 1], does not fit, or drives a bias beyond
            int16.
        """
        from neurorobust.types import Inputs

        return Inputs.drive(self._integers(x).int(), self.steps)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Inputs:
        """The same integers as float32 (exact: int16 fits); d bias_mant / d x = weight / std."""
        from neurorobust.types import Inputs

        slope = self.weight / self.std * zero_with_gradient(x).reshape(len(x), *self.input_shape)
        return Inputs.drive(self._integers(x).float() + slope, self.steps)

    def _integers(self, x: Tensor) -> Tensor:
        """float64 `[batch, *input_shape]` with integral values in int16's range."""
        check_images(self.name, x, self.input_shape)
        normalised = (x.detach().double() - self.mean) / self.std
        drive = (self.weight * normalised + self.bias).trunc().reshape(len(x), *self.input_shape)
        outside = (drive < BIAS_MIN) | (drive > BIAS_MAX)
        if bool(outside.any()):
            sample = int(outside.flatten(1).any(1).nonzero()[0])
            value = float(drive[outside][0])
            raise BadInput(
                f"drive: sample {sample} needs bias_mant {value:.0f}, "
                f"outside [{BIAS_MIN}, {BIAS_MAX}] (int16 in Lava)"
            )
        return drive
