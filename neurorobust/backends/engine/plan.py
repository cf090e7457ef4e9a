"""NetxModel -> EnginePlan: what the engine will compute, decided once, each choice with its reason.

Inside the engine tensors are `[batch, time, neurons]` and neurons are in H, W, C order, so that a
convolution's channels-last output needs no copy.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from neurorobust.backends.base import neurons
from neurorobust.backends.engine import gemm, synapses
from neurorobust.backends.engine.lif_cpu import block_neurons
from neurorobust.backends.engine.memory import MEMORY_LIMIT, Memory, chunk_size, needs
from neurorobust.backends.engine.paths import AUTO, Arithmetic, Paths, arithmetic, asked
from neurorobust.backends.engine.synapses import DelayedDense, Feedback, Synapse
from neurorobust.errors import BadInput, ModelFileError
from neurorobust.fixedpoint import DECAY_UNITY, STATE_LIMIT, STATE_SHIFT, cast_bias
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

FloatArray: TypeAlias = npt.NDArray[np.float64]
AnyArray: TypeAlias = npt.NDArray[Any]
SHOWN_STEPS = 16  # for which the table states the working memory
THETA_LIMIT = 2.0 * STATE_LIMIT  # the forward kernels cut thresholds there: |v| < 2^23
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
        arithmetic: how the sums are taken; None for the on-chip input layer.
        memory: what a step takes.
        feedback: what its spikes add to its own sums one step later, if it is recurrent.
    """

    number: int
    kind: str
    shape: Shape
    synapse: Synapse | None
    kept: FloatArray
    theta: FloatArray
    bias: FloatArray
    arithmetic: Arithmetic | None
    memory: Memory
    feedback: Feedback | None = None
    _constants: dict[str, tuple[Hashable, AnyArray]] = field(default_factory=dict)

    @functools.cached_property
    def scale(self) -> np.float32:
        """2^-shift of the sums; a recurrent layer's are shifted where they meet."""
        shift = self.synapse.shift if self.synapse and not self.feedback else 0
        return np.float32(2.0**-shift)

    @property
    def activation(self) -> int:
        """No |a| that reaches a neuron exceeds it."""
        return sum(part.proof.activation for part in (self.synapse, self.feedback) if part)

    def constants(self, dtype: npt.DTypeLike) -> AnyArray:
        """`[4, neurons]`: what a step keeps of u and v, times 4096; theta within ±2^24; bias.

        All repeat with the channels: of a large convolution one block is enough.
        """
        found = self._constants.get("forward")
        if found is not None and found[0] == dtype:
            return found[1]

        def make() -> AnyArray:
            theta = np.clip(self.theta, -THETA_LIMIT, THETA_LIMIT)
            rows = (*(self.kept * DECAY_UNITY), theta, self.bias[0])
            repeats = self.shape[1] * self.shape[2] > 1
            end = block_neurons(self.shape[0]) if repeats else self.neurons
            made: AnyArray = np.stack(rows)[:, :end].astype(dtype)
            return made

        return self.noted("forward", np.dtype(dtype), make)

    def noted(self, what: str, settings: Hashable, make: Callable[[], AnyArray]) -> AnyArray:
        """What `make` made when it was last asked with these settings; never of the weights."""
        found = self._constants.get(what)
        if found is None or found[0] != settings:
            found = self._constants[what] = settings, make()
        return found[1]

    def state_dtype(self, steps: int) -> npt.DTypeLike:
        """The type in which the neurons' arithmetic is exact (see `lif_cpu`)."""
        if self.activation <= STATE_LIMIT >> STATE_SHIFT:
            return np.float32
        return np.int64 if self.leaves_int32(steps) else np.float64

    @property
    def endless_dtype(self) -> npt.DTypeLike:
        """`state_dtype` for any number of steps."""
        drifts = self.activation << STATE_SHIFT > 2 * STATE_LIMIT
        return np.int64 if drifts else self.state_dtype(1)

    @functools.cached_property
    def neurons(self) -> int:
        """Neurons of the layer."""
        return neurons(self.shape)

    @functools.cached_property
    def tame(self) -> bool:
        """Whether its neurons take a shorter step: no shift of sums, and u cannot wrap.

        u <- trunc(u k) + 64 a keeps |u| < 64 max|a| / (1 - k) for ever, from zero on.
        """
        lifted, kept = self.activation << STATE_SHIFT, float(self.kept[0].max())
        return self.scale == 1 and self.synapse is not None and lifted < STATE_LIMIT * (1 - kept)

    def leaves_int32(self, steps: int) -> bool:
        """Whether u may come near ±2^31 within so many steps, where Lava's int32 variables wrap.

        Wrapping takes 2^24 off a step's input, so only an input beyond it makes u drift outwards.
        """
        kept, lifted = float(self.kept[0].max()), self.activation << STATE_SHIFT
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
        else:
            layers.append(_layer(layer, source, None, path))
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
