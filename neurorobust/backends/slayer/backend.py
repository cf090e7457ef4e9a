"""The network before export: SLAYER's own quantised forward, or the float network.

`quantised` is lava-dl's CPU code: what training saw. `float` is SLAYER before rounding: weights,
decays and thresholds as trained, dynamics in float32. Both run on the CPU and start from zero state
at every call.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from neurorobust.backends.base import (
    ALIGNED,
    GLOBAL,
    InProcess,
    check_clock,
    check_inputs,
    check_record,
)
from neurorobust.backends.slayer.adjoint import Adjoint
from neurorobust.backends.slayer.dynamics import (
    Neurons,
    float_input,
    quantised_input,
)
from neurorobust.backends.slayer.neurons import float_neurons, quantised_neurons, readout
from neurorobust.errors import BadInput
from neurorobust.export import explain
from neurorobust.export.fold import fold
from neurorobust.fixedpoint import DECAY_UNITY, STATE_SHIFT
from neurorobust.networks.block_network import BlockNetwork, synapses
from neurorobust.networks.spec import THRESHOLD_LIMIT, NetworkSpec
from neurorobust.surrogates import Backward, BackwardMode
from neurorobust.types import Inputs, LayerTrace, Run

PRECISIONS = ("float", "quantised")


class SlayerBackend(InProcess):
    """A snapshot of a SLAYER network; training it further does not change the backend.

    In `quantised` precision every layer's spikes, u and v are Lava's variables (lava-dl computes
    them in int64 and hands them out as float32, exact below 2^24; it neither wraps u nor clips v).
    In `float` precision spikes are 0 and 1 as ever, u, v and the membrane are float32 in the same
    units, and only the spikes can be compared with another backend.

    Args:
        network: a network of our own blocks and lava-dl's; it is copied.
        precision: `float` or `quantised`.

    Raises:
        BadInput: an unknown precision, a block that cannot be exported, or a threshold at which
            lava-dl's spike rule is not the chip's.
    """

    name = "slayer"
    about = "SLAYER (lava-dl) on this CPU, before export"
    query_batch = 128

    def __init__(self, network: BlockNetwork, precision: str = "quantised") -> None:
        if precision not in PRECISIONS:
            raise BadInput(
                f"slayer: precision {precision!r} unknown, known: {', '.join(PRECISIONS)}"
            )
        self.precision = precision
        self.exported = explain(network)
        self.model = self.exported.model
        self._network = network.frozen_copy()
        self._neurons = self._make_neurons(getattr(network, "spec", None))

    @property
    def variables(self) -> tuple[str, ...]:
        """What can be compared bit for bit with another backend."""
        integers = self.precision == "quantised" and self.exported.exact
        return ("spikes", "u", "v") if integers else ("spikes",)

    def run(
        self, inputs: Inputs | Tensor, record: Collection[int] = (), clock: str = ALIGNED
    ) -> Run:
        """See `Backend.run`.

        SLAYER's layers have no latency. On the global clock every synapse is given its input one
        step late, which is what `delay_shift` does between blocks, and biases do not wait.
        """
        check_clock(clock, self.name)
        inputs = Inputs.of(inputs)
        check_inputs(self.model, inputs)
        check_record(self.model, record)
        if 0 in record and not inputs.driven:
            raise BadInput("record: layer 0 (input) is skipped when spikes are given")
        traces: dict[int, LayerTrace] = {}
        x, steps = self._start(inputs), None
        with torch.no_grad():
            for number, block in self._path(inputs):
                if number not in self._neurons:
                    x = block(x)
                    continue
                if block is not None and clock == GLOBAL:
                    x = torch.nn.functional.pad(x, (1, 0))[..., :-1]
                steps = self._neurons[number].fire(_sums(block, x))
                x = steps.spikes
                if number in record:
                    voltage = steps.voltage * (1 - steps.spikes)
                    traces[number] = LayerTrace(
                        x.flatten(1, -2).to(torch.uint8),
                        self._state(steps.current).flatten(1, -2),
                        self._state(voltage).flatten(1, -2),
                    )
        assert steps is not None  # a network has at least its classes' layer
        return Run(x.flatten(1, -2).to(torch.uint8), self._state(steps.membrane).flatten(1), traces)

    def forward(self, inputs: Inputs | Tensor, surrogate: Backward) -> Run:
        """See `DifferentiableBackend.forward`; the surrogate replaces SLAYER's own.

        A `BackwardMode` in place of a surrogate brings its hooks.
        """
        inputs = Inputs.of(inputs)
        check_inputs(self.model, inputs)
        mode = BackwardMode.of(surrogate)
        layers = {layer.number: layer for layer in self.model.spiking_layers}
        x, membrane = self._start(inputs), torch.empty(0)
        for number, block in self._path(inputs):
            if number not in self._neurons:
                x = block(x)
                continue
            layer = Adjoint(layers[number], self._neurons[number], mode)
            x, membrane = layer(_sums(block, x))
        return Run(x.flatten(1, -2), membrane.flatten(1), {})

    def _make_neurons(self, spec: NetworkSpec | None) -> dict[int, Neurons]:
        """`spec` holds thresholds unrounded, which lava-dl's blocks do not."""
        quantised = self.precision == "quantised"
        found: dict[int, Neurons] = {}
        if self.model.input_layer is not None:
            block: Any = self._network.blocks[0]
            unit = 1 << STATE_SHIFT
            held = (block.threshold / unit, block.voltage_decay / DECAY_UNITY)
            if spec is not None:
                held = (spec.input_threshold, spec.input_voltage_decay)
            found[0] = quantised_input(block) if quantised else float_input(*held)
        for number, block in self._network.after_input():
            if not synapses(block):
                continue
            where, channels = self._network.name(number), self._network.shapes[number][0]
            folded = fold(where, block.neuron, channels)
            if not quantised:
                for synapse in synapses(block):
                    synapse.pre_hook_fx = None  # the hook is what rounds
            if hasattr(block, "dynamics"):
                found[number] = readout(block, folded, quantised)
                continue
            if not quantised:
                threshold = block.neuron.threshold if spec is None else spec.threshold
                found[number] = float_neurons(block, threshold, folded)
                continue
            if block.neuron.v_th_mant >= THRESHOLD_LIMIT * (1 << STATE_SHIFT):
                raise BadInput(
                    f"{where}: threshold {block.neuron.threshold:g} not below "
                    f"{THRESHOLD_LIMIT:g}, where lava-dl's spike rule leaves the chip's"
                )
            found[number] = quantised_neurons(block, folded)
        return found

    def _start(self, inputs: Inputs) -> Tensor:
        """Drive held over time, or the spikes, float32 `[batch, C, H, W, time]`."""
        values = inputs.values.to(torch.float32)
        return values[..., None].expand(*values.shape, inputs.steps) if inputs.driven else values

    def _path(self, inputs: Inputs) -> list[tuple[int, Any]]:
        rest = self._network.after_input()
        return [(0, None), *rest] if inputs.driven else rest

    def _state(self, values: Tensor) -> Tensor:
        """Integers where SLAYER's are, floats as they are otherwise."""
        return values if self.precision == "float" else values.round().to(torch.int32)


def _sums(block: Any, x: Tensor) -> Tensor:
    """What the neurons are given: the synapses' sums, or the drive itself (no block).

    An axonal delay delays the sums, as in the file: u, v and spikes come late by it.
    """
    if block is None:
        return x
    sums: Tensor = synapses(block)[0](x)
    if block.delay is None or not block.delay.init:
        return sums
    return _late(sums.flatten(1, -2), block.delay.delay.detach().floor()).reshape(sums.shape)


def _late(sums: Tensor, delay: Tensor) -> Tensor:
    """`[batch, neurons, time]`, each neuron's row late by its delay."""
    source = torch.arange(sums.shape[-1]) - delay.to(torch.int64)[:, None]
    rows = source.clamp_min(0).expand(sums.shape)
    return torch.where(source >= 0, sums.gather(-1, rows), 0.0)
