"""The vocabulary: what flows between the rooms, with shapes.

Axes are SLAYER's: batch, channel, height, width, time (NCHWT). Dense inputs are
`[batch, features, 1, 1, time]`.
Neurons of a layer are flattened in C, H, W order, time last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from jaxtyping import Float, Int64, Num, UInt8
from torch import Tensor

from neurorobust.errors import BadInput

Spikes: TypeAlias = UInt8[Tensor, "batch channel height width time"]
Images: TypeAlias = Float[Tensor, "batch channel height width"]
Labels: TypeAlias = Int64[Tensor, " batch"]
Logits: TypeAlias = Float[Tensor, "batch classes"]


@dataclass(frozen=True)
class Drive:
    """A constant bias into an on-chip input layer, held for `steps` steps.

    Attributes:
        bias_mant: int32 `[batch, channel, height, width]`; Lava casts it to int16. In a backend's
            differentiable `forward` the same integers, held in a float tensor.
        steps: number of time steps, ≥ 1.
    """

    bias_mant: Num[Tensor, "batch channel height width"]
    steps: int

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise BadInput(f"drive: steps {self.steps} below 1")

    def __len__(self) -> int:
        return int(self.bias_mant.shape[0])


Inputs: TypeAlias = "Spikes | Drive"


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
