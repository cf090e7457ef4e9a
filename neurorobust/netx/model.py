"""A `.net` file as frozen data. Shapes are C, H, W; a dense shape is (features, 1, 1)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from neurorobust.errors import BadInput
from neurorobust.fixedpoint import ACCUMULATOR_THRESHOLD, DECAY_UNITY

IntArray: TypeAlias = npt.NDArray[np.int64]
Shape: TypeAlias = tuple[int, int, int]
Pair: TypeAlias = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Neuron:
    """CUBA/LIF parameters as stored: integer arrays of length 1 (the layer) or C (one a channel).

    Attributes:
        current_decay: `iDecay` in [0, 4096].
        voltage_decay: `vDecay` in [0, 4096].
        threshold: `vThMant`; a neuron spikes when v > threshold << 6.
    """

    current_decay: IntArray
    voltage_decay: IntArray
    threshold: IntArray

    @classmethod
    def of(
        cls,
        current_decay: npt.ArrayLike,
        voltage_decay: npt.ArrayLike,
        threshold: npt.ArrayLike,
    ) -> Neuron:
        """Of numbers, or of lists with one number a channel."""
        fields = (current_decay, voltage_decay, threshold)
        return cls(*(np.atleast_1d(np.asarray(values, dtype=np.int64)) for values in fields))


# NetX's neuron for a dense layer without a neuron group: v = u = the running sum, never a spike.
ACCUMULATOR = Neuron(
    current_decay=np.array(0),
    voltage_decay=np.array(DECAY_UNITY),
    threshold=np.array(ACCUMULATOR_THRESHOLD),
)


@dataclass(frozen=True, eq=False)
class FileLayer:
    """What the layers of a file have in common.

    Attributes:
        number: position in the file.
        shape: of what the layer gives.
        kind: `type` in the file.
        matrix_names: fields that hold weights.
    """

    number: int
    shape: Shape
    kind: ClassVar[str]
    matrix_names: ClassVar[tuple[str, ...]] = ()

    def matrices(self) -> dict[str, IntArray]:
        """The weights as stored, by the field's name; none in a layer without synapses."""
        return {name: getattr(self, name) for name in self.matrix_names}

    def with_matrices(self, matrices: Mapping[str, IntArray]) -> Self:
        """The same layer with other weights, by the names of `matrices`; others stay.

        Raises:
            BadInput: a name that the layer does not have.
        """
        unknown = sorted(set(matrices) - set(self.matrix_names))
        if unknown:
            known = ", ".join(self.matrix_names) or "none"
            raise BadInput(
                f"layer {self.number} ({self.kind}): no matrix {unknown[0]!r}, known: {known}"
            )
        changes: dict[str, Any] = dict(matrices)
        return replace(self, **changes)


@dataclass(frozen=True, eq=False)
class InputLayer(FileLayer):
    """`type: input`. With a neuron it is on the chip and fed drive; without, it declares a shape.

    Attributes:
        weight, bias: how the encoder turns x into drive, `trunc(weight * x + bias)`; Lava never
            applies them.
    """

    neuron: Neuron | None
    weight: float = 64.0
    bias: float = 0.0
    kind = "input"


@dataclass(frozen=True, eq=False)
class DenseLayer(FileLayer):
    """`type: dense`.

    Attributes:
        weight: int64 `[out, in]` as stored, before Lava packs it.
        bias: int64 `[out]` bias_mant as stored (not yet cast to int16), or None.
        delay: int64 `[out, in]` synaptic delays in steps, clamped to 62 as NetX does, or None.
        neuron: None means NetX's accumulator: iDecay 0, vDecay 4096, threshold 2^17.
    """

    neuron: Neuron | None
    weight: IntArray
    bias: IntArray | None = None
    delay: IntArray | None = None
    kind = "dense"
    matrix_names = ("weight",)


@dataclass(frozen=True, eq=False)
class RecurrentLayer(FileLayer):
    """`type: dense_rec`: a dense layer whose spikes come back to it one step later.

    Attributes:
        weight: int64 `[out, in]` as stored; Lava packs it together with `weight_rec`.
        weight_rec: int64 `[out, out]`, from the layer's own neurons (columns) to them (rows).
        bias: int64 `[out]` bias_mant as stored, or None.
        neuron: None means NetX's accumulator, which never spikes.
    """

    neuron: Neuron | None
    weight: IntArray
    weight_rec: IntArray
    bias: IntArray | None = None
    kind = "dense_rec"
    matrix_names = ("weight", "weight_rec")


@dataclass(frozen=True, eq=False)
class ConvLayer(FileLayer):
    """`type: conv`; the stored kernel equals torch's cross-correlation.

    Attributes:
        weight: int64 `[out, in / groups, kH, kW]`.
        bias: int64 `[out]` or None.
        stride, padding, dilation: (H, W).
    """

    neuron: Neuron
    weight: IntArray
    bias: IntArray | None = None
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    kind = "conv"
    matrix_names = ("weight",)


@dataclass(frozen=True, eq=False)
class FlattenLayer(FileLayer):
    """`type: flatten`: C, H, W order from here on; computes nothing."""

    kind = "flatten"


@dataclass(frozen=True, eq=False)
class AverageLayer(FileLayer):
    """`type: average`: the readout's business, a no-op for spikes. Lava's NetX cannot load it."""

    kind = "average"


SynapseLayer: TypeAlias = DenseLayer | RecurrentLayer | ConvLayer
SpikingLayer: TypeAlias = InputLayer | SynapseLayer
Layer: TypeAlias = SpikingLayer | FlattenLayer | AverageLayer


@dataclass(frozen=True, eq=False)
class NetxModel:
    """One network as it stands in a `.net` file. Never mutated.

    Attributes:
        input_shape: C, H, W of what the network is fed.
        layers: all layers of the file, in order.
        sha256: hex digest of the file the model was read from ("" for a model not yet written).
        path: the file it was read from ("" for a model not yet written).
    """

    input_shape: Shape
    layers: tuple[Layer, ...]
    sha256: str = ""
    path: str = ""

    def with_layers(self, layers: Iterable[Layer]) -> NetxModel:
        """A network of other layers, not yet written to a file."""
        return replace(self, layers=tuple(layers), sha256="", path="")

    @property
    def input_layer(self) -> InputLayer | None:
        """The on-chip input layer that takes drive, if the network starts with one."""
        first = self.layers[0]
        return first if isinstance(first, InputLayer) and first.neuron is not None else None

    @property
    def spiking_layers(self) -> tuple[SpikingLayer, ...]:
        """The layers that hold neurons, in order; their `number` is their place in the file."""
        return tuple(
            layer
            for layer in self.layers
            if isinstance(layer, SynapseLayer)
            or (isinstance(layer, InputLayer) and layer.neuron is not None)
        )

    def running_layers(self, driven: bool) -> tuple[SpikingLayer, ...]:
        """The layers with neurons that run when the network is fed drive, or spikes.

        Spikes go to the first synapse; an on-chip input layer before it is skipped.
        """
        skipped = None if driven else self.input_layer
        return tuple(layer for layer in self.spiking_layers if layer is not skipped)

    @property
    def output_layer(self) -> SpikingLayer:
        """The last layer with neurons."""
        return self.spiking_layers[-1]

    @property
    def outputs(self) -> int:
        """Neurons of the last layer."""
        return math.prod(self.output_layer.shape)
