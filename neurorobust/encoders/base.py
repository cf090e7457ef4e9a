"""What an encoder is, and what all of them check."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from neurorobust.errors import BadInput

if TYPE_CHECKING:  # cards name encoders without torch
    import torch
    from torch import Tensor

    from neurorobust.types import Inputs

Shape = tuple[int, int, int]


class Parameters(Protocol):
    """What a card (or the plan of a network) says of an encoder, beside its name and the steps.

    Attributes:
        mean, std: normalisation of pixels in [0, 1].
        gain: spike probability of a white pixel in one step.
    """

    @property
    def mean(self) -> float: ...  # noqa: D102
    @property
    def std(self) -> float: ...  # noqa: D102
    @property
    def gain(self) -> float: ...  # noqa: D102


@dataclass(frozen=True)
class Entrance:
    """Where a network is fed.

    Attributes:
        shape: (C, H, W) of its input.
        weight, bias: of its on-chip input layer; None where it has none.
    """

    shape: Shape
    weight: float | None = None
    bias: float | None = None


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
        """The exact integers: uint8 spikes `[batch, *input_shape, steps]`, or int32 drive."""
        ...

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Inputs:
        """The same values in float32 tensors; gradients go straight through rounding and sampling.

        With generators in the same state `encode` and `forward` give the same numbers.
        """
        ...


class Code(Encoder, Protocol):
    """An encoder that a card can name: it makes itself from the card, and describes itself.

    Attributes:
        input_layer: whether it feeds an on-chip input layer (True), the first synapse of a network
            that has none (False), or either (None).
        takes: fields of a card that say how it feeds.
        needs: of these, those that a card must name, with the value that leaves pixels as they are.
    """

    input_layer: ClassVar[bool | None]
    takes: ClassVar[tuple[str, ...]]
    needs: ClassVar[dict[str, float]]

    @classmethod
    def make(cls, parameters: Parameters, steps: int, entrance: Entrance) -> Encoder:
        """For one network, as its card says.

        Raises:
            BadInput: the network has not the entrance for it, or a number is out of range.
        """
        ...

    @staticmethod
    def words(parameters: Parameters) -> str:
        """What the network is fed, as a clause."""
        ...


def zero_with_gradient(x: Tensor) -> Tensor:
    """Exactly 0 in float32, but with derivative 1 with respect to x."""
    return (x - x.detach()).float()


def check_steps(name: str, steps: int) -> None:
    """Refuse fewer than one step."""
    if steps < 1:
        raise BadInput(f"{name}: steps {steps} below 1")


def check_fit(name: str, given: torch.Size, wanted: Shape) -> None:
    """Refuse data of another number of inputs."""
    if math.prod(given) != math.prod(wanted):
        raise BadInput(
            f"{name}: data of shape {tuple(given)} do not fit the network's input {wanted}"
        )


def check_images(name: str, x: Tensor, wanted: Shape) -> None:
    """Refuse what is no batch of images in [0, 1], naming the value."""
    if x.dim() != 4:
        raise BadInput(f"{name}: x has {x.dim()} axes, need 4 (batch, channel, height, width)")
    if not x.is_floating_point():
        raise BadInput(f"{name}: x is {x.dtype}, need floats in [0, 1]")
    check_fit(name, x.shape[1:], wanted)
    bad = ~((x >= 0) & (x <= 1))  # NaN is neither
    if bool(bad.any()):
        sample = int(bad.flatten(1).any(1).nonzero()[0])
        value = float(x.detach()[bad][0])
        what = "NaN" if math.isnan(value) else f"{value:g}, outside [0, 1]"
        raise BadInput(f"{name}: sample {sample} holds {what}")
