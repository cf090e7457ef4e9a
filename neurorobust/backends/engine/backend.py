"""The engine as a backend: batches in chunks through the planned layers."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import torch
from torch import Tensor

from neurorobust.backends.base import check_inputs, check_record
from neurorobust.backends.engine.autograd import Walk, differentiable_run, fire
from neurorobust.backends.engine.plan import LayerPlan, make_plan
from neurorobust.backends.engine.products import check_precision
from neurorobust.errors import BadInput
from neurorobust.netx.model import NetxModel, Shape
from neurorobust.surrogates import Backward, BackwardMode, Surrogate
from neurorobust.types import Drive, Inputs, LayerTrace, Run

CHUNK_ENTRIES = 1 << 19  # of the widest tensor of a chunk; 2 MiB in float32 stay in the cache


class EngineBackend:
    """Batched, exact, differentiable; equal to the reference bit for bit.

    Integers never depend on the batch, its chunks or the number of threads. Gradients come from
    float32 products, whose last bits can depend on the batch a sample ran in.

    Args:
        model: the network.
        device: `cpu`.
        gradient: precision of the backward pass's products, `float32` or `bfloat16` (on CPUs with
            AVX512-BF16 about twice as fast; 8 bits a factor).

    Raises:
        ModelFileError: a layer that does not fit, or weights that Lava cannot pack.
        BadInput: another device or precision.
    """

    name = "engine"

    def __init__(self, model: NetxModel, device: str = "cpu", gradient: str = "float32") -> None:
        if device != "cpu":
            raise BadInput(f"engine: device {device!r} unknown, known: cpu")
        check_precision(gradient)
        self.model = model
        self.gradient = gradient
        self.plan = make_plan(model)

    def run(self, inputs: Inputs, record: Collection[int] = ()) -> Run:
        """See `Backend.run`."""
        check_inputs(self.model, inputs)
        check_record(self.model, record)
        layers = self._layers(inputs)
        skipped = set(record) - {layer.number for layer in layers}
        if skipped:
            raise BadInput(f"record: layer {min(skipped)} (input) is skipped when spikes are given")
        spikes, membranes = [], []
        traces: dict[int, list[LayerTrace]] = {number: [] for number in sorted(record)}
        with torch.no_grad():
            for signal, steps in self._chunks(inputs):
                for layer in layers:
                    traced = layer.number in traces
                    done = fire(layer, signal, steps, traced, traced)
                    if done.voltage is not None and done.current is not None:
                        v = torch.where(done.spikes > 0, 0, done.voltage)
                        kept = (done.spikes.to(torch.uint8), done.current, v.to(torch.int32))
                        trace = LayerTrace(*(_public(tensor, layer.shape) for tensor in kept))
                        traces[layer.number].append(trace)
                    signal = done.spikes
                spikes.append(_public(signal.to(torch.uint8), layers[-1].shape))
                membrane = _public(done.membrane.to(torch.int32)[:, None], layers[-1].shape)
                membranes.append(membrane[..., 0])
        return Run(
            torch.cat(spikes), torch.cat(membranes), {n: _join(t) for n, t in traces.items()}
        )

    def forward(self, inputs: Inputs, surrogate: Backward) -> Run:
        """See `DifferentiableBackend.forward`; the floats are float32.

        A `BackwardMode` in place of a surrogate brings its hooks.
        """
        check_inputs(self.model, _detached(inputs))
        layers = self._layers(inputs)
        mode = BackwardMode(surrogate) if isinstance(surrogate, Surrogate) else surrogate
        steps = inputs.steps if isinstance(inputs, Drive) else inputs.shape[4]
        walk = Walk(layers, self.model.input_shape, steps, mode, self.gradient)
        values = inputs.bias_mant if isinstance(inputs, Drive) else inputs
        return Run(*differentiable_run(walk, values), {})

    def _layers(self, inputs: Inputs) -> tuple[LayerPlan, ...]:
        """Spikes go to the first synapse: an on-chip input layer before it is skipped."""
        first = self.plan.layers[0]
        skip = not isinstance(inputs, Drive) and first.synapse is None
        layers = self.plan.layers[1:] if skip else self.plan.layers
        if not layers:
            raise BadInput("spikes: the network has no synapse, give it drive")
        return layers

    def _chunks(self, inputs: Inputs) -> Iterator[tuple[Tensor, int]]:
        """Float32 signals for the first layer, H, W, C order, with the number of steps."""
        driven = isinstance(inputs, Drive)
        steps = inputs.steps if isinstance(inputs, Drive) else inputs.shape[4]
        values = inputs.bias_mant[..., None] if isinstance(inputs, Drive) else inputs
        size = max(1, CHUNK_ENTRIES // (steps * self.plan.widest))
        for chunk in torch.split(values, size):
            rows = chunk.permute(0, 4, 2, 3, 1)
            rows = rows.to(torch.float32, memory_format=torch.contiguous_format).flatten(2)
            yield (rows[:, 0] if driven else rows), steps


def _public(signal: Tensor, shape: Shape) -> Tensor:
    """`[batch, time, H * W * C]` -> `[batch, C * H * W, time]`."""
    channels, height, width = shape
    batch, steps, _ = signal.shape
    split = signal.view(batch, steps, height * width, channels)
    return split.permute(0, 3, 2, 1).reshape(batch, channels * height * width, steps)


def _join(traces: list[LayerTrace]) -> LayerTrace:
    return LayerTrace(
        torch.cat([trace.spikes for trace in traces]),
        torch.cat([trace.u for trace in traces]),
        torch.cat([trace.v for trace in traces]),
    )


def _detached(inputs: Inputs) -> Inputs:
    if isinstance(inputs, Drive):
        return Drive(inputs.bias_mant.detach(), inputs.steps)
    return inputs.detach()
