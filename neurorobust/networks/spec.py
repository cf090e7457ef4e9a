"""What a network is before it has weights: plain data, written as JSON beside the weights."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from neurorobust.encoders import ENCODERS
from neurorobust.fixedpoint import DELAY_MAX
from neurorobust.support import schema

Size = Annotated[int, Field(ge=1)]
# SLAYER spikes on v >= threshold + 0.01/4096, meant as the chip's v > threshold. In float32 that
# epsilon vanishes from 64 on (measured at 64, 100 and 127), so exactness ends there.
THRESHOLD_LIMIT = 64.0


class NetworkSpec(BaseModel):
    """A CUBA network made of lava-dl's blocks.

    Thresholds and weights are in SLAYER's units: 1.0 is 64 in the `.net` file. Decays are fractions
    forgotten in one step: 1.0 is 4096 in the file.

    Attributes:
        kind: `mlp` (flatten, dense …), `cnn` (conv …, flatten, dense …) or `recurrent` (as `mlp`,
            but its hidden layers are told their own spikes one step later).
        input_shape: C, H, W of one image or of one frame of spikes.
        classes: neurons of the last dense layer, one a class.
        steps: time steps of one sample.
        encoder: `drive` starts the network with an on-chip input layer that takes an integer bias;
            `poisson`, `latency` and `direct` feed spikes to the first synapse.
        hidden: sizes of the dense layers before the last.
        max_delay: axonal delays of the hidden layers of an `mlp`, drawn from 0 to this many steps
            and trained within them; the chip counts whole steps. 0 is none.
        channels, kernel, stride, padding: the convolutions of a `cnn`, square, one a channel count.
        threshold, current_decay, voltage_decay: of every layer but the input's.
        weight_scale: multiplies torch's initial weights.
        weight_norm: train direction and length of the weights apart (folded on export); not of
            recurrent ones.
        tau_grad, scale_grad: relaxation and scale of SLAYER's surrogate gradient.
        input_weight, input_bias: drive = trunc(input_weight * (pixel - mean) / std + input_bias),
            `drive` only.
        input_threshold, input_voltage_decay: of the on-chip input layer.
        mean, std: normalisation of pixels in [0, 1] before the drive.
        gain: spike probability of a white pixel in one step, `poisson` only.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    kind: Literal["mlp", "cnn", "recurrent"]
    input_shape: tuple[Size, Size, Size]
    classes: int = Field(ge=2)
    steps: int = Field(ge=1, le=100_000)
    encoder: Annotated[str, schema.known(ENCODERS)] = "drive"
    hidden: tuple[Size, ...] = (128,)
    max_delay: int = Field(default=0, ge=0, le=DELAY_MAX)
    channels: tuple[Size, ...] = ()
    kernel: int = Field(default=3, ge=1)
    stride: int = Field(default=2, ge=1)
    padding: int = Field(default=1, ge=0)
    threshold: float = Field(default=1.25, ge=1 / 64, lt=THRESHOLD_LIMIT)
    current_decay: float = Field(default=0.25, ge=0, le=1)
    voltage_decay: float = Field(default=0.03, ge=0, le=1)
    weight_scale: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    weight_norm: bool = False
    tau_grad: float = Field(default=0.02, gt=0, allow_inf_nan=False)
    scale_grad: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    input_weight: int = 64
    input_bias: int = 0
    input_threshold: float = Field(default=3.0, ge=1 / 64, lt=THRESHOLD_LIMIT)
    input_voltage_decay: float = Field(default=0.0, ge=0, le=1)
    mean: float = Field(default=0.0, allow_inf_nan=False)
    std: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    gain: float = Field(default=1.0, gt=0, le=1)

    @model_validator(mode="after")
    def _fits(self) -> NetworkSpec:
        if (self.kind == "cnn") != bool(self.channels):
            raise ValueError(f"kind {self.kind}: channels {self.channels} (only a cnn has some)")
        if self.kind == "recurrent" and not self.hidden:
            raise ValueError("kind recurrent: hidden () (its hidden layers are the recurrent ones)")
        if self.kind == "recurrent" and self.weight_norm:
            raise ValueError(
                "kind recurrent: weight_norm true (lava-dl never updates a recurrent weight by it)"
            )
        if self.max_delay and (self.kind != "mlp" or not self.hidden):
            raise ValueError(
                f"kind {self.kind}: max_delay {self.max_delay} (only hidden layers of an mlp)"
            )
        for channels, height, width in self.conv_shapes:
            if height < 1 or width < 1:
                raise ValueError(f"channels: conv output {channels, height, width} is empty")
        return self

    @property
    def conv_shapes(self) -> tuple[tuple[int, int, int], ...]:
        """C, H, W after every convolution."""
        _, height, width = self.input_shape
        shapes = []
        for channels in self.channels:
            height = (height + 2 * self.padding - self.kernel) // self.stride + 1
            width = (width + 2 * self.padding - self.kernel) // self.stride + 1
            shapes.append((channels, height, width))
        return tuple(shapes)

    def to_json(self) -> str:
        """The text of a run directory's `network.json`."""
        return self.model_dump_json(indent=2) + "\n"

    @staticmethod
    def from_json(content: bytes) -> NetworkSpec:
        """Read what `to_json` wrote.

        Raises:
            BadInput: not JSON, an unknown or missing field, or a value out of range.
        """
        return schema.parse(content, NetworkSpec, "network.json")
