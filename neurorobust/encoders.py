"""x -> what the network is fed: exact integers (`encode`), or the same with gradients (`forward`).

    drive     a constant bias into the on-chip input layer: trunc(weight * (x - mean) / std + bias)
    poisson   rate code: one independent coin a pixel and step, P(spike) = gain * x
    direct    x already is binary spikes

A network may want another shape than the data have (28x28 pixels into 784 dense inputs): C, H, W
are reshaped in that order where the number of inputs agrees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from neurorobust.errors import BadInput
from neurorobust.types import Drive, Inputs, Spikes

Shape = tuple[int, int, int]
BIAS_MIN, BIAS_MAX = -(1 << 15), (1 << 15) - 1  # Lava casts bias_mant to int16


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

    def __post_init__(self) -> None:
        _check_steps(self.name, self.steps)
        if not self.std > 0:
            raise BadInput(f"drive: std {self.std} not above 0")

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Drive:
        """int32 drive; the generator is not used.

        Raises:
            BadInput: x is no batch of images in [0, 1], does not fit, or drives a bias beyond
            int16.
        """
        return Drive(self._integers(x).to(torch.int32), self.steps)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Drive:
        """The same integers as float32 (exact: int16 fits); d bias_mant / d x = weight / std."""
        slope = self.weight / self.std * _zero_with_gradient(x).reshape(len(x), *self.input_shape)
        return Drive(self._integers(x).to(torch.float32) + slope, self.steps)

    def _integers(self, x: Tensor) -> Tensor:
        """float64 `[batch, *input_shape]` with integral values in int16's range."""
        _check_images(self.name, x, self.input_shape)
        normalised = (x.detach().to(torch.float64) - self.mean) / self.std
        drive = torch.trunc(self.weight * normalised + self.bias).reshape(len(x), *self.input_shape)
        outside = (drive < BIAS_MIN) | (drive > BIAS_MAX)
        if bool(outside.any()):
            sample = int(outside.flatten(1).any(1).nonzero()[0])
            value = float(drive[outside][0])
            raise BadInput(
                f"drive: sample {sample} needs bias_mant {value:.0f}, "
                f"outside [{BIAS_MIN}, {BIAS_MAX}] (int16 in Lava)"
            )
        return drive


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

    def __post_init__(self) -> None:
        _check_steps(self.name, self.steps)
        if not 0 < self.gain <= 1:
            raise BadInput(f"poisson: gain {self.gain} outside (0, 1]")

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Spikes:
        """uint8 spikes `[batch, *input_shape, steps]`.

        Raises:
            BadInput: no CPU generator given, x is no batch of images in [0, 1] or does not fit.
        """
        return self._draw(x, generator).to(torch.uint8)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The same draw as float32; d spike / d x = gain at every step (straight through the coin).

        Source: Bengio et al., arXiv:1308.3432 (straight-through estimator; unbiased for the
        expected spike).
        """
        slope = self.gain * _zero_with_gradient(x).reshape(len(x), *self.input_shape, 1)
        return self._draw(x, generator).to(torch.float32) + slope

    def _draw(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        _check_images(self.name, x, self.input_shape)
        if generator is None or generator.device.type != "cpu":
            given = "none" if generator is None else str(generator.device)
            raise BadInput(f"poisson: needs a generator on the CPU, given: {given}")
        rate = self.gain * x.detach().to(torch.float32).reshape(len(x), *self.input_shape, 1)
        coins = torch.rand((*rate.shape[:-1], self.steps), generator=generator)
        return coins.to(x.device) < rate  # coins are in [0, 1): 0 never spikes, 1 always does


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
        _check_fit(self.name, x.shape[1:4], self.input_shape)
        if x.shape[4] < 1:
            raise BadInput("direct: x has 0 time steps, need at least 1")
        bad = (x != 0) & (x != 1)
        if bool(bad.any()):
            sample = int(bad.flatten(1).any(1).nonzero()[0])
            raise BadInput(f"direct: sample {sample} holds {x[bad][0].item():g}, neither 0 nor 1")
        return x.reshape(x.shape[0], *self.input_shape, x.shape[4])


def _zero_with_gradient(x: Tensor) -> Tensor:
    """Exactly 0 in float32, but with derivative 1 with respect to x."""
    return (x - x.detach()).to(torch.float32)


def _check_steps(name: str, steps: int) -> None:
    if steps < 1:
        raise BadInput(f"{name}: steps {steps} below 1")


def _check_fit(name: str, given: torch.Size, wanted: Shape) -> None:
    if math.prod(given) != math.prod(wanted):
        raise BadInput(
            f"{name}: data of shape {tuple(given)} do not fit the network's input {wanted}"
        )


def _check_images(name: str, x: Tensor, wanted: Shape) -> None:
    if x.dim() != 4:
        raise BadInput(f"{name}: x has {x.dim()} axes, need 4 (batch, channel, height, width)")
    if not x.is_floating_point():
        raise BadInput(f"{name}: x is {x.dtype}, need floats in [0, 1]")
    _check_fit(name, x.shape[1:], wanted)
    bad = ~((x >= 0) & (x <= 1))  # NaN is neither
    if bool(bad.any()):
        sample = int(bad.flatten(1).any(1).nonzero()[0])
        value = float(x[bad][0])
        what = "NaN" if math.isnan(value) else f"{value:g}, outside [0, 1]"
        raise BadInput(f"{name}: sample {sample} holds {what}")
