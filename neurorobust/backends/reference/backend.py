"""The definition: what a network computes, one sample, one layer and one step at a time.

Slow on purpose. Every integer rule comes from `fixedpoint`; nothing here is clever, so that it can
be read beside Lava's process models (`proc/lif/models.py`, `proc/dense/models.py`,
`proc/conv/models.py`) and believed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from typing_extensions import assert_never

from neurorobust.backends.base import (
    ALIGNED,
    InProcess,
    check_clock,
    check_inputs,
    check_record,
    neurons,
)
from neurorobust.backends.reference.synapses import (
    Feedback,
    Synapse,
    conv_synapse,
    dense_synapse,
    recurrent_synapses,
)
from neurorobust.errors import BadInput, ModelFileError
from neurorobust.fixedpoint import cast_bias, lif_step
from neurorobust.netx.model import (
    ACCUMULATOR,
    AverageLayer,
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    IntArray,
    NetxModel,
    RecurrentLayer,
    SpikingLayer,
    SynapseLayer,
)
from neurorobust.netx.numbers import check_numbers
from neurorobust.types import Inputs, LayerTrace, Run


@dataclass(frozen=True)
class _States:
    """One layer and one sample: spikes 0/1, u and v after every step, each `[C, H, W, time]`."""

    spikes: IntArray
    u: IntArray
    v: IntArray


class ReferenceBackend(InProcess):
    """Runs a network by its definition, on either clock.

    Args:
        model: the network.

    Raises:
        ModelFileError: a layer that Lava does not run, or would compute wrong without a word.
    """

    name = "reference"
    about = "Lava's fixed-point integers, computed by neurorobust's reference"
    query_batch = 8

    def __init__(self, model: NetxModel) -> None:
        self.model = model
        self._synapses: dict[int, Synapse] = {}
        self._feedback: dict[int, Feedback] = {}
        self._neurons: dict[int, _Neurons] = {}
        shape = model.input_shape
        for layer in model.layers:
            if isinstance(layer, DenseLayer):
                self._synapses[layer.number] = dense_synapse(layer, shape)
            elif isinstance(layer, RecurrentLayer):
                synapses = recurrent_synapses(layer, shape)
                self._synapses[layer.number], self._feedback[layer.number] = synapses
            elif isinstance(layer, ConvLayer):
                self._synapses[layer.number] = conv_synapse(layer, shape)
            elif not isinstance(layer, InputLayer | FlattenLayer | AverageLayer):
                assert_never(layer)
            shape = (neurons(shape), 1, 1) if isinstance(layer, FlattenLayer) else layer.shape
        for spiking in model.spiking_layers:
            check_numbers(spiking)
            self._neurons[spiking.number] = _Neurons(spiking)

    def run(
        self, inputs: Inputs | Tensor, record: Collection[int] = (), clock: str = ALIGNED
    ) -> Run:
        """See `Backend.run`."""
        check_clock(clock)
        inputs = Inputs.of(inputs)
        check_inputs(self.model, inputs)
        check_record(self.model, record)
        skipped = None if inputs.driven else self.model.input_layer
        if skipped is not None and skipped.number in record:
            raise BadInput(
                f"record: layer {skipped.number} (input) is skipped when spikes are given"
            )

        late, steps = clock != ALIGNED, inputs.steps
        samples = [self._run_sample(inputs, index, late) for index in range(len(inputs))]
        last = _collect(self.model.output_layer, samples, steps)
        return Run(
            spikes=last.spikes,
            membrane=last.v[:, :, -1].clone(),
            layers={
                layer.number: _collect(layer, samples, steps)
                for layer in self.model.spiking_layers
                if layer.number in record
            },
        )

    def _run_sample(self, inputs: Inputs, index: int, late: bool) -> dict[int, _States]:
        """Every layer's answer to one sample, from zero state, by layer number.

        Where synapses are `late`, each shows its neurons what it was given one step before.
        """
        answers: dict[int, _States] = {}
        drive, steps, values = None, inputs.steps, inputs.values[index].numpy()
        if inputs.driven:
            drive = cast_bias(values)
            signal = np.zeros((*self.model.input_shape, steps), dtype=np.int64)  # no synapse
        else:
            signal = values.astype(np.int64)
        for layer in self.model.layers:
            if isinstance(layer, FlattenLayer):
                signal = signal.reshape(-1, 1, 1, steps)
                continue
            if isinstance(layer, InputLayer):
                if layer.neuron is None or drive is None:  # a shape only, or skipped
                    continue
                states = self._neurons[layer.number].integrate(signal, drive)
            elif isinstance(layer, SynapseLayer):
                activation = self._synapses[layer.number](_one_late(signal) if late else signal)
                feedback = self._feedback.get(layer.number)
                states = self._neurons[layer.number].integrate(activation, None, feedback)
            elif isinstance(layer, AverageLayer):  # the readout's business
                continue
            else:
                assert_never(layer)
            answers[layer.number] = states
            signal = states.spikes
        return answers


class _Neurons:
    """A layer's neurons with every parameter spread over `[C, H, W]`."""

    def __init__(self, layer: SpikingLayer) -> None:
        neuron = layer.neuron or ACCUMULATOR
        bias = np.zeros(1, dtype=np.int64)
        if not isinstance(layer, InputLayer) and layer.bias is not None:
            bias = layer.bias
        self.current_decay = _per_neuron(layer, "iDecay", neuron.current_decay)
        self.voltage_decay = _per_neuron(layer, "vDecay", neuron.voltage_decay)
        self.threshold = _per_neuron(layer, "vThMant", neuron.threshold)
        self.bias = cast_bias(_per_neuron(layer, "bias", bias))

    def integrate(
        self,
        activation: IntArray,
        drive: IntArray | None = None,
        feedback: Feedback | None = None,
    ) -> _States:
        """Step from u = v = 0 through `activation` `[C, H, W, time]`.

        `drive` replaces the bias; `feedback` turns the layer's spikes into activation for its next
        step.
        """
        bias = self.bias if drive is None else drive
        states = _States(*(np.zeros_like(activation) for _ in range(3)))
        u = v = returned = np.zeros(activation.shape[:-1], dtype=np.int64)
        for step in range(activation.shape[-1]):
            spikes, u, v = lif_step(
                u,
                v,
                activation[..., step] + returned,
                bias,
                self.current_decay,
                self.voltage_decay,
                self.threshold,
            )
            states.spikes[..., step], states.u[..., step], states.v[..., step] = spikes, u, v
            if feedback is not None:
                returned = feedback(states.spikes[..., step])
        return states


def _one_late(signal: IntArray) -> IntArray:
    """`[..., time]` one step later, a step of silence before it."""
    return np.concatenate([np.zeros_like(signal[..., :1]), signal[..., :-1]], axis=-1)


def _per_neuron(layer: SpikingLayer, name: str, values: IntArray) -> IntArray:
    """One value for the layer or one a channel, spread over `[C, H, W]` as Lava broadcasts them."""
    channels = layer.shape[0]
    flat = np.asarray(values, dtype=np.int64).reshape(-1)
    if flat.size not in (1, channels):
        raise ModelFileError(
            f"layer {layer.number} ({layer.kind}): {name} has {flat.size} entries,"
            f" need 1 or {channels} (one a channel)"
        )
    return np.broadcast_to(flat.reshape(-1, 1, 1), layer.shape)


def _collect(layer: SpikingLayer, samples: list[dict[int, _States]], steps: int) -> LayerTrace:
    """Samples stacked, neurons flattened in C, H, W order."""
    shape = (len(samples), neurons(layer.shape), steps)

    def stack(name: str, dtype: torch.dtype) -> Tensor:
        values = [getattr(answers[layer.number], name) for answers in samples]
        return torch.tensor(np.array(values, dtype=np.int64).reshape(shape), dtype=dtype)

    return LayerTrace(
        spikes=stack("spikes", torch.uint8), u=stack("u", torch.int32), v=stack("v", torch.int32)
    )
