"""The engine on a GPU: the same integers, layer by layer, everything on the device.

A layer is an int8 product on tensor cores and one triton kernel that takes its neurons through all
steps; a recurrent layer goes step by step. Only `EngineBackend` imports this file, and only when a
GPU is asked for: nothing else needs triton.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from neurorobust.backends.base import ALIGNED, neurons
from neurorobust.backends.engine.gpu.autograd import LayerPass, differentiable_run, public, signals
from neurorobust.backends.engine.gpu.gemm import arithmetic
from neurorobust.backends.engine.gpu.layer import GpuLayer, gpu_layer
from neurorobust.backends.engine.memory import MEMORY_LIMIT
from neurorobust.backends.engine.shapes import KERNELS
from neurorobust.errors import BadInput
from neurorobust.netx.model import NetxModel
from neurorobust.surrogates import Backward, BackwardMode
from neurorobust.types import Inputs, LayerTrace, Run

ENTRY_BYTES = 32  # of a step of a neuron: spikes in and out, sums, and what is recorded of it


class GpuEngine:
    """A model on one device. Results lie where the inputs lay; between, nothing leaves the device.

    Args:
        model: the network, already known to fit together.
        device: where to compute. Under triton's interpreter also `cpu`.
        gradient: precision of the backward pass's products, `float32` or `bfloat16`.
        memory_limit: bytes that samples may take that go through the layers together, about.

    Raises:
        ModelFileError: a fan-in beyond what int32 sums hold, or weights that Lava cannot pack.
    """

    def __init__(
        self,
        model: NetxModel,
        device: torch.device,
        gradient: str = "float32",
        memory_limit: int = MEMORY_LIMIT,
    ) -> None:
        self.device, self._source, self._gradient = device, model.input_shape, gradient
        self._memory_limit = memory_limit
        layers, source = list[GpuLayer](), model.input_shape
        for layer in model.spiking_layers:
            layers.append(gpu_layer(layer, source, device))
            source = layer.shape
        self.layers = tuple(layers)

    def __str__(self) -> str:
        """What is computed where, a line a layer."""
        lines = [f"engine on {self.device}: sums {arithmetic(self.device)}, u and v int32"]
        for layer in self.layers:
            what = "driven" if layer.synapse is None else str(layer.synapse)
            again = "" if layer.feedback is None else f"; step by step, fed back: {layer.feedback}"
            lines.append(f"layer {layer.number} ({layer.kind}) {layer.shape}: {what}{again}")
        return "\n".join(lines)

    def run(self, inputs: Inputs, record: Collection[int] = (), clock: str = ALIGNED) -> Run:
        """See `Backend.run`; the inputs have been checked."""
        values, steps, layers = inputs.values, inputs.steps, self._fed(inputs.driven)
        traces: dict[int, list[LayerTrace]] = {number: [] for number in sorted(record)}
        spikes, membranes = list[Tensor](), list[Tensor]()

        def out(signal: Tensor) -> Tensor:
            return public(signal, layer.shape).to(values.device)

        with torch.no_grad():
            for chunk in torch.split(values, self._part(layers, steps)):
                signal = signals(chunk, self.device)
                for layer in layers:
                    if clock != ALIGNED and layer.synapse is not None:
                        signal = _one_late(signal)
                    kept = layer.number in traces
                    done = layer.fire(signal, steps, keep_current=kept, keep_voltage=kept)
                    signal = done.spikes
                    if done.current is not None and done.voltage is not None:
                        v = torch.where(signal > 0, 0, done.voltage)
                        trace = LayerTrace(out(signal.to(torch.uint8)), out(done.current), out(v))
                        traces[layer.number].append(trace)
                spikes.append(out(signal.to(torch.uint8)))
                membranes.append(out(done.state[1][:, None])[..., 0])
        recorded = {number: _join(found) for number, found in traces.items()}
        return Run(torch.cat(spikes), torch.cat(membranes), recorded)

    def forward(self, inputs: Inputs, backward: Backward) -> Run:
        """See `DifferentiableBackend.forward`; the inputs have been checked."""
        mode = BackwardMode.of(backward).spelled(KERNELS)
        steps, layers = inputs.steps, self._fed(inputs.driven)
        part = self._part(layers, steps)
        layer_pass = LayerPass(layers, self.device, self._source, steps, mode, self._gradient, part)
        return Run(*differentiable_run(layer_pass, inputs.values), {})

    def _fed(self, driven: bool) -> tuple[GpuLayer, ...]:
        """The layers that inputs go through: spikes skip an on-chip input layer."""
        skip = not driven and self.layers[0].synapse is None
        layers = self.layers[1:] if skip else self.layers
        if not layers:
            raise BadInput("spikes: the network has no synapse, give it drive")
        return layers

    def _part(self, layers: tuple[GpuLayer, ...], steps: int) -> int:
        """Samples that go through the layers together."""
        widest = max(neurons(self._source), *(layer.cells.width for layer in layers))
        return max(1, self._memory_limit // (ENTRY_BYTES * steps * widest))


def _one_late(spikes: Tensor) -> Tensor:
    """One step later, a step of silence before it."""
    return torch.nn.functional.pad(spikes, (0, 0, 1, 0))[:, :-1]


def _join(traces: list[LayerTrace]) -> LayerTrace:
    return LayerTrace(
        torch.cat([trace.spikes for trace in traces]),
        torch.cat([trace.u for trace in traces]),
        torch.cat([trace.v for trace in traces]),
    )
