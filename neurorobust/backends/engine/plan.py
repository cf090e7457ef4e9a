"""NetxModel -> EnginePlan: what the engine will compute, decided once, each choice with its reason.

Inside the engine tensors are `[batch, time, neurons]` and neurons are in H, W, C order, so that a
convolution's channels-last output needs no copy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
from typing_extensions import assert_never

from neurorobust.backends.base import neurons
from neurorobust.backends.engine import gemm, synapses
from neurorobust.backends.engine.arithmetic import AUTO, Paths, arithmetic, asked
from neurorobust.backends.engine.layer import LayerPlan
from neurorobust.backends.engine.memory import MEMORY_LIMIT, Memory, chunk_size, needs
from neurorobust.backends.engine.synapses import DelayedDense, Feedback, Synapse
from neurorobust.errors import BadInput, ModelFileError
from neurorobust.fixedpoint import DECAY_UNITY, STATE_SHIFT, cast_bias
from neurorobust.netx.chain import check_chain
from neurorobust.netx.model import (
    ACCUMULATOR,
    ConvLayer,
    DenseLayer,
    InputLayer,
    IntArray,
    NetxModel,
    RecurrentLayer,
    Shape,
    SpikingLayer,
)

SHOWN_STEPS = 16  # for which the table states the working memory


@dataclass(frozen=True, eq=False)
class EnginePlan:
    """All layers with neurons, in order. `print(plan)` shows it as a table.

    Attributes:
        input_shape: C, H, W.
        layers: in order.
        memory_limit: bytes that a run may take beside its inputs and results.
    """

    input_shape: Shape
    layers: tuple[LayerPlan, ...]
    memory_limit: int = MEMORY_LIMIT

    @property
    def widest(self) -> int:
        """Entries a step of the largest tensor between two layers."""
        return max(neurons(self.input_shape), *(layer.neurons for layer in self.layers))

    def fed(self, driven: bool, record: Collection[int] = ()) -> tuple[LayerPlan, ...]:
        """The layers that run: an on-chip input layer is skipped when spikes are given.

        Raises:
            BadInput: no layer is left, or one that is to be recorded is skipped.
        """
        skip = not driven and self.layers[0].synapse is None
        layers = self.layers[1:] if skip else self.layers
        if not layers:
            raise BadInput("spikes: the network has no synapse, give it drive")
        skipped = set(record) - {layer.number for layer in layers}
        if skipped:
            raise BadInput(f"record: layer {min(skipped)} (input) is skipped when spikes are given")
        return layers

    def chunk(self, steps: int, threads: int, recorded: bool = False) -> int:
        """Samples that go through the layers together on each thread.

        Raises:
            BadInput: the memory limit does not hold a single one.
        """
        memories = [layer.memory for layer in self.layers]
        return chunk_size(memories, steps, threads, self.memory_limit, recorded)

    def peak_bytes(self, steps: int, threads: int, recorded: bool = False) -> int:
        """Bytes that a run takes at most, beside its inputs, results and weights."""
        scratch, sample = needs([layer.memory for layer in self.layers], steps, recorded)
        return threads * (scratch + self.chunk(steps, threads, recorded) * sample)

    def __str__(self) -> str:
        heads = ("layer", "kind", "neurons", "fan-in", "sum |w|", "shift", "path", "because")
        rows = [heads, *(_row(layer) for layer in self.layers)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        peak = self.peak_bytes(SHOWN_STEPS, 1) / (1 << 20)
        lines.append(
            f"working memory: {peak:.1f} MiB a thread at {SHOWN_STEPS} steps,"
            f" limit {self.memory_limit / (1 << 20):.0f} MiB for all threads"
        )
        return "\n".join([f"engine plan, input {self.input_shape} (C, H, W)", *lines])


def make_plan(
    model: NetxModel, paths: Paths = AUTO, memory_limit: int = MEMORY_LIMIT
) -> EnginePlan:
    """Pack the weights, prove the sums exact and choose their arithmetic.

    Args:
        model: the network.
        paths: `auto`, or the path to take: of every layer with synapses, or by layer number.
        memory_limit: bytes that a run may take beside its inputs and results.

    Raises:
        ModelFileError: a layer that does not fit its input, or whose weights Lava cannot pack.
        BadInput: a path that is unknown or not exact, or a limit that holds no sample's step.
    """
    name = model.path or "network"
    fed = check_chain(model.layers, name)
    if fed != model.input_shape:
        raise ModelFileError(f"{name}: input {model.input_shape}, its first layer takes {fed}")
    layers: list[LayerPlan] = []
    source = model.input_shape  # a flatten between does not change the order of neurons here
    for layer in model.spiking_layers:
        path = asked(paths, layer.number)
        if isinstance(layer, DenseLayer):
            layers.append(_layer(layer, source, synapses.dense(layer, source), path))
        elif isinstance(layer, RecurrentLayer):
            synapse, feedback = synapses.recurrent(layer, source)
            layers.append(_layer(layer, source, synapse, path, feedback))
        elif isinstance(layer, ConvLayer):
            layers.append(_layer(layer, source, synapses.conv(layer, source), path))
        elif isinstance(layer, InputLayer):
            layers.append(_layer(layer, source, None, path))
        else:
            assert_never(layer)
        source = layer.shape
    _check_numbers(paths, layers)
    plan = EnginePlan(model.input_shape, tuple(layers), memory_limit)
    plan.chunk(1, 1)
    return plan


def _check_numbers(paths: Paths, layers: list[LayerPlan]) -> None:
    known = [layer.number for layer in layers if layer.synapse]
    for number in () if isinstance(paths, str) else paths:
        if number not in known:
            raise BadInput(f"paths: layer {number} has no synapses, layers that do: {known}")


def _layer(
    layer: SpikingLayer,
    source: Shape,
    synapse: Synapse | None,
    path: str,
    feedback: Feedback | None = None,
) -> LayerPlan:
    neuron = layer.neuron or ACCUMULATOR
    bias = None if isinstance(layer, InputLayer) else layer.bias
    spread = _spreader(layer)
    decays = (spread("iDecay", neuron.current_decay), spread("vDecay", neuron.voltage_decay))
    biases = cast_bias(spread("bias", np.zeros(1, dtype=np.int64) if bias is None else bias))
    how = None if synapse is None else arithmetic(_name(layer), synapse, path, feedback is not None)
    row = 4 * neurons(layer.shape) if how is None else gemm.row_bytes(how)
    delayed = isinstance(synapse, DelayedDense)
    return LayerPlan(
        number=layer.number,
        kind=layer.kind,
        shape=layer.shape,
        synapse=synapse if how is None else how.synapse,
        kept=(DECAY_UNITY - np.stack(decays)) / DECAY_UNITY,
        theta=(spread("vThMant", neuron.threshold) << STATE_SHIFT).astype(np.float64),
        bias=(biases << STATE_SHIFT).astype(np.float64)[None],
        arithmetic=how,
        memory=Memory(neurons(source), neurons(layer.shape), row, whole=delayed),
        feedback=feedback,
    )


def _name(layer: SpikingLayer) -> str:
    return f"layer {layer.number} ({layer.kind})"


def _spreader(layer: SpikingLayer) -> Callable[[str, IntArray], IntArray]:
    """One value for the layer or one a channel -> one a neuron, in H, W, C order."""
    channels, height, width = layer.shape

    def spread(name: str, values: IntArray) -> IntArray:
        flat = np.asarray(values, dtype=np.int64).reshape(-1)
        if flat.size not in (1, channels):
            raise ModelFileError(
                f"{_name(layer)}: {name} has {flat.size} entries,"
                f" need 1 or {channels} (one a channel)"
            )
        return np.tile(np.broadcast_to(flat, (channels,)), height * width)

    return spread


def _row(layer: LayerPlan) -> tuple[str, ...]:
    head = (str(layer.number), layer.kind, str(layer.neurons))
    synapse = layer.synapse
    if synapse is None:
        return (*head, "-", "-", "-", "-", "driven")
    shift = getattr(synapse, "bucket_shift", synapse.shift)
    assert layer.arithmetic is not None
    how = layer.arithmetic
    row = (*head, str(synapse), str(synapse.proof.bound), str(shift), str(how), how.reason)
    if layer.feedback is None:
        return row
    return (*row[:-1], f"{row[-1]}; its own spikes gathered step by step")
