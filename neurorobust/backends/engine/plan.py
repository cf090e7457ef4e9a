"""NetxModel -> EnginePlan: what the engine will compute, decided once, each choice with its reason.

Inside the engine tensors are `[batch, time, neurons]` and neurons are in H, W, C order, so that a
convolution's channels-last output needs no copy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from neurorobust.backends.base import neurons
from neurorobust.backends.engine import synapses
from neurorobust.backends.engine.synapses import Synapse
from neurorobust.errors import ModelFileError
from neurorobust.fixedpoint import DECAY_UNITY, STATE_LIMIT, STATE_SHIFT, cast_bias
from neurorobust.netx.chain import check_chain
from neurorobust.netx.model import (
    ACCUMULATOR,
    ConvLayer,
    DenseLayer,
    InputLayer,
    IntArray,
    NetxModel,
    Shape,
    SpikingLayer,
)

FloatArray: TypeAlias = npt.NDArray[np.float64]
INT32_SAFE = (1 << 31) - 2 * STATE_LIMIT  # below it neither u nor decayed v + u + bias leaves int32


@dataclass(frozen=True, eq=False)
class LayerPlan:
    """One layer with neurons.

    Attributes:
        number: place in the file.
        kind: type in the file.
        shape: C, H, W.
        synapse: its weighted sums; None for the on-chip input layer.
        kept: float64 `[2, neurons]`: what a step keeps of u and of v, (4096 - decay) / 4096, exact.
        theta: float64 `[neurons]`: vThMant << 6.
        bias: float64 `[1, neurons]`: bias_mant << 6 after the cast to int16.
    """

    number: int
    kind: str
    shape: Shape
    synapse: Synapse | None
    kept: FloatArray
    theta: FloatArray
    bias: FloatArray

    @property
    def neurons(self) -> int:
        """Neurons of the layer."""
        return neurons(self.shape)

    def leaves_int32(self, steps: int) -> bool:
        """Whether u may come near ±2^31 within so many steps, where Lava's int32 variables wrap.

        Wrapping takes 2^24 off a step's input, so only an input beyond it makes u drift outwards.
        """
        if self.synapse is None:
            return False
        kept, lifted = float(self.kept[0].max()), self.synapse.proof.activation << STATE_SHIFT
        peak = float(STATE_LIMIT)
        for _ in range(steps):
            reached = peak * kept + lifted
            if reached >= INT32_SAFE:
                return True
            wrapped = max(float(STATE_LIMIT), reached - 2 * STATE_LIMIT)
            if wrapped <= peak:
                return False
            peak = wrapped
        return False


@dataclass(frozen=True, eq=False)
class EnginePlan:
    """All layers with neurons, in order. `print(plan)` shows it as a table."""

    input_shape: Shape
    layers: tuple[LayerPlan, ...]

    @property
    def widest(self) -> int:
        """Entries a step of the largest tensor between two layers."""
        return max(neurons(self.input_shape), *(layer.neurons for layer in self.layers))

    def __str__(self) -> str:
        heads = ("layer", "kind", "neurons", "fan-in", "sum |w|", "shift", "sums in", "because")
        rows = [heads, *(_row(layer) for layer in self.layers)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        return "\n".join([f"engine plan, input {self.input_shape} (C, H, W)", *lines])


def make_plan(model: NetxModel) -> EnginePlan:
    """Pack the weights, prove the sums exact and choose their types.

    Raises:
        ModelFileError: a layer that does not fit its input, or whose weights Lava cannot pack.
    """
    name = model.path or "network"
    fed = check_chain(model.layers, name)
    if fed != model.input_shape:
        raise ModelFileError(f"{name}: input {model.input_shape}, its first layer takes {fed}")
    layers: list[LayerPlan] = []
    source = model.input_shape  # a flatten between does not change the order of neurons here
    for layer in model.spiking_layers:
        if isinstance(layer, DenseLayer):
            layers.append(_layer(layer, synapses.dense(layer, source)))
        elif isinstance(layer, ConvLayer):
            layers.append(_layer(layer, synapses.conv(layer, source)))
        else:
            layers.append(_layer(layer, None))
        source = layer.shape
    return EnginePlan(model.input_shape, tuple(layers))


def _layer(layer: SpikingLayer, synapse: Synapse | None) -> LayerPlan:
    neuron = layer.neuron or ACCUMULATOR
    bias = None if isinstance(layer, InputLayer) else layer.bias
    spread = _spreader(layer)
    decays = (spread("iDecay", neuron.current_decay), spread("vDecay", neuron.voltage_decay))
    biases = cast_bias(spread("bias", np.zeros(1, dtype=np.int64) if bias is None else bias))
    return LayerPlan(
        number=layer.number,
        kind=layer.kind,
        shape=layer.shape,
        synapse=synapse,
        kept=(DECAY_UNITY - np.stack(decays)) / DECAY_UNITY,
        theta=(spread("vThMant", neuron.threshold) << STATE_SHIFT).astype(np.float64),
        bias=(biases << STATE_SHIFT).astype(np.float64)[None],
    )


def _spreader(layer: SpikingLayer) -> Callable[[str, IntArray], IntArray]:
    """One value for the layer or one a channel -> one a neuron, in H, W, C order."""
    channels, height, width = layer.shape

    def spread(name: str, values: IntArray) -> IntArray:
        flat = np.asarray(values, dtype=np.int64).reshape(-1)
        if flat.size not in (1, channels):
            raise ModelFileError(
                f"layer {layer.number} ({layer.kind}): {name} has {flat.size} entries,"
                f" need 1 or {channels} (one a channel)"
            )
        return np.tile(np.broadcast_to(flat, (channels,)), height * width)

    return spread


def _row(layer: LayerPlan) -> tuple[str, ...]:
    head = (str(layer.number), layer.kind, str(layer.neurons))
    synapse = layer.synapse
    if synapse is None:
        return (*head, "-", "-", "-", "-", "driven")
    proof = synapse.proof
    shift = getattr(synapse, "bucket_shift", synapse.shift)
    dtype = str(proof.dtype).removeprefix("torch.")
    return (*head, str(synapse), str(proof.bound), str(shift), dtype, proof.reason)
