"""The vocabulary: what flows between the rooms, with shapes.

Axes are SLAYER's: batch, channel, height, width, time (NCHWT). Dense inputs are
`[batch, features, 1, 1, time]`.
Neurons of a layer are flattened in C, H, W order, time last.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from jaxtyping import Float, Int64, Num, UInt8
from torch import Tensor

from neurorobust.errors import BadInput

Spikes: TypeAlias = UInt8[Tensor, "batch channel height width time"]
Images: TypeAlias = Float[Tensor, "batch channel height width"]
Labels: TypeAlias = Int64[Tensor, " batch"]
Logits: TypeAlias = Float[Tensor, "batch classes"]


@dataclass(frozen=True, eq=False)
class Inputs:
    """A batch of what a network is fed: spikes for its first synapse, or drive for an input layer.

    Drive is a constant bias into an on-chip input layer, held for some steps.

    Attributes:
        values: spikes uint8 `[batch, channel, height, width, time]`, or drive int32
            `[batch, channel, height, width]` (bias_mant, which Lava casts to int16). In a backend's
            differentiable `forward` the same integers, held in a float tensor.
        held: steps for which drive is held, ≥ 1; None for spikes.

    Raises:
        BadInput: values that are no real tensor, another number of axes, or no steps.

    Example:
        >>> import torch
        >>> spikes = Inputs.of(torch.zeros(3, 2, 4, 4, 16, dtype=torch.uint8))
        >>> spikes.driven, spikes.steps, len(spikes[:2])
        (False, 16, 2)
    """

    values: Num[Tensor, "batch channel height width *time"]
    held: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.values, Tensor) or self.values.is_complex():
            what = getattr(self.values, "dtype", type(self.values).__name__)
            raise BadInput(f"{self.kind}: values are {what}, need a torch tensor of integers")
        if self.held is not None and type(self.held) is not int:
            raise BadInput(f"drive: steps is {self.held!r}, need a whole number")
        wanted = 4 if self.driven else 5
        if self.values.dim() != wanted:
            axes = ("batch", "channel", "height", "width", "time")[:wanted]
            raise BadInput(
                f"{self.kind}: {self.values.dim()} axes, need {wanted} ({', '.join(axes)})"
            )
        if self.steps < 1:
            raise BadInput(f"{self.kind}: {self.steps} time steps, need at least 1")

    @classmethod
    def of(cls, given: Inputs | Tensor) -> Inputs:
        """A bare tensor is spikes; inputs stay what they are."""
        return given if isinstance(given, Inputs) else cls(given)

    @classmethod
    def drive(cls, bias_mant: Num[Tensor, "batch channel height width"], steps: int) -> Inputs:
        """Drive `[batch, channel, height, width]`, held for so many steps."""
        return cls(bias_mant, steps)

    @property
    def driven(self) -> bool:
        """Whether the values are drive."""
        return self.held is not None

    @property
    def kind(self) -> str:
        """`drive` or `spikes`, for messages."""
        return "drive" if self.driven else "spikes"

    @property
    def steps(self) -> int:
        """Time steps of every sample."""
        return int(self.values.shape[4]) if self.held is None else self.held

    def with_values(self, values: Num[Tensor, "batch channel height width *time"]) -> Inputs:
        """Other values of the same kind; drive is held as long."""
        return replace(self, values=values)

    def first_steps(self, steps: int) -> Inputs:
        """The same inputs for fewer steps, or as many.

        Raises:
            BadInput: more than there are, or none.
        """
        if not 1 <= steps <= self.steps:
            raise BadInput(f"{self.kind}: {steps} of {self.steps} time steps, need 1 to as many")
        if self.held is None:
            return self.with_values(self.values[..., :steps])
        return replace(self, held=steps)

    def __getitem__(self, rows: slice | list[int] | Tensor) -> Inputs:
        """Some samples."""
        return self.with_values(self.values[rows])

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class LayerTrace:
    """One layer's spikes and Lava's variables after every step, each `[batch, neurons, time]`.

    `v` is 0 where the neuron spiked: Lava resets before the step ends. u and v are int32; float32
    from SLAYER before rounding, which has no integers.
    """

    spikes: UInt8[Tensor, "batch neurons time"]
    u: Num[Tensor, "batch neurons time"]
    v: Num[Tensor, "batch neurons time"]


@dataclass(frozen=True)
class Run:
    """What a backend computed.

    Attributes:
        spikes: the last layer's output `[batch, neurons, time]`, uint8 (floats with gradients from
            `forward`).
        membrane: the last layer's v after the last step `[batch, neurons]`, int32 (or floats).
        layers: the layers asked for with `record`, by their number in the file.
    """

    spikes: Num[Tensor, "batch neurons time"]
    membrane: Num[Tensor, "batch neurons"]
    layers: dict[int, LayerTrace]
