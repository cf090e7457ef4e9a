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


NORMS = ("linf", "l2", "l1", "l0")


@dataclass(frozen=True)
class ImageBudget:
    """How far one image may move.

    Attributes:
        epsilon: radius in pixel units, before any normalisation; `linf`: at most 1; `l0`: number
            of pixels (all channels of a place are one pixel).
        norm: `linf`, `l2`, `l1` or `l0`, over all of C, H, W.
    """

    epsilon: float
    norm: str = "linf"

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise BadInput(f"budget: norm {self.norm!r} unknown, known: {', '.join(NORMS)}")
        if self.norm == "linf" and not 0 <= self.epsilon <= 1:
            raise BadInput(
                f"budget: eps {self.epsilon} outside [0, 1] (pixel units, before any normalisation)"
            )
        if not 0 <= self.epsilon < float("inf"):
            raise BadInput(f"budget: {self.norm} eps {self.epsilon} is not a size (0 or above)")


@dataclass(frozen=True)
class SpikeBudget:
    """How many entries of one binary spike tensor may flip: an L0 budget.

    Attributes:
        flips: entries that may change in all.
        insertions, deletions: of these, at most so many 0 -> 1 and 1 -> 0; None: up to `flips`.
        channel: only entries of this channel (polarity of an event camera); None: of any.
        rows, columns: only entries with first <= row < last (likewise columns); None: anywhere.
    """

    flips: int
    insertions: int | None = None
    deletions: int | None = None
    channel: int | None = None
    rows: tuple[int, int] | None = None
    columns: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name in ("flips", "insertions", "deletions", "channel"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise BadInput(f"budget: {name} {value} below 0")
        for name in ("rows", "columns"):
            span = getattr(self, name)
            if span is not None and not 0 <= span[0] < span[1]:
                raise BadInput(f"budget: {name} {span[0]}:{span[1]} is empty or below 0")


@dataclass(frozen=True)
class ShiftBudget:
    """How spikes may be retimed: each keeps its line (channel, row, column), none is made or lost.

    Attributes:
        reach: steps by which one spike may move at most, either way (B-infinity).
        total: sum of all moves at most (B1); None: any.
        spikes: number of spikes that may move at most (B0); None: any.
    """

    reach: int
    total: int | None = None
    spikes: int | None = None

    def __post_init__(self) -> None:
        for name in ("reach", "total", "spikes"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise BadInput(f"budget: {name} {value} below 0")


@dataclass(frozen=True)
class PatchBudget:
    """One rectangle of the sensor in which any entry, of any channel and step, may change.

    Attributes:
        height, width: of the rectangle, in pixels; where it lies is the adversary's choice.
    """

    height: int
    width: int

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            if getattr(self, name) < 0:
                raise BadInput(f"budget: patch {name} {getattr(self, name)} below 0")


Budget: TypeAlias = ImageBudget | SpikeBudget | ShiftBudget | PatchBudget
