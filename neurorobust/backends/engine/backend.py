"""The engine as a backend: batches in chunks through the planned layers."""

from __future__ import annotations

from collections.abc import Collection

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
from neurorobust.backends.engine import loops
from neurorobust.backends.engine.arithmetic import AUTO, Paths
from neurorobust.backends.engine.autograd import LayerPass, differentiable_run
from neurorobust.backends.engine.batch_parts import each
from neurorobust.backends.engine.devices import open_device
from neurorobust.backends.engine.forward import fire
from neurorobust.backends.engine.layout import signals
from neurorobust.backends.engine.matmul import check_precision
from neurorobust.backends.engine.memory import MEMORY_LIMIT, keep_freed
from neurorobust.backends.engine.plan import make_plan
from neurorobust.backends.engine.run_buffers import Answer, one_late
from neurorobust.backends.engine.shapes import KERNELS
from neurorobust.backends.engine.stream import Stream
from neurorobust.errors import BadInput
from neurorobust.netx.model import NetxModel
from neurorobust.surrogates import Backward, BackwardMode
from neurorobust.types import Inputs, Run


class EngineBackend(InProcess):
    """Batched, exact, differentiable; equal to the reference bit for bit.

    Integers never depend on the batch, its chunks or the number of threads. Gradients come from
    float32 products, whose last bits can depend on the batch a sample ran in.

    Args:
        model: the network.
        device: `cpu`, `cuda` or `cuda:N`; on a GPU the same integers, gradients but for last bits.
            Results lie where the inputs lie.
        gradient: precision of the backward pass's products, `float32` or `bfloat16` (on CPUs with
            AVX512-BF16 about twice as fast; 8 bits a factor).
        path: `auto`, or the arithmetic to take, of every layer with synapses or by its number:
            `int8`, `float32`, `float64` or `event`. Results do not depend on it.
        memory_limit: bytes that a run may take beside its inputs and results.

    Raises:
        ModelFileError: a layer that does not fit, or weights that Lava cannot pack.
        BadInput: another device or precision; a path that is not proven exact for a layer; a memory
            limit that does not hold a sample.
        UnavailableError: no such GPU here, or no triton for it.
    """

    name = "engine"
    about = "Lava's fixed-point integers, computed by neurorobust's engine"
    query_batch = 256

    def __init__(
        self,
        model: NetxModel,
        device: str = "cpu",
        gradient: str = "float32",
        path: Paths = AUTO,
        memory_limit: int = MEMORY_LIMIT,
    ) -> None:
        check_precision(gradient)
        keep_freed()
        self.model = model
        self.gradient = gradient
        self.plan = make_plan(model, path, memory_limit)
        self._gpu = open_device(model, device, gradient, memory_limit)
        if self._gpu is not None and path != AUTO:
            raise BadInput(f"engine: path {path!r} with device {device}, paths are for cpu")

    def __str__(self) -> str:
        """What is computed where, and why it is exact: the plan, or the GPU's."""
        return str(self.plan if self._gpu is None else self._gpu)

    def run(
        self, inputs: Inputs | Tensor, record: Collection[int] = (), clock: str = ALIGNED
    ) -> Run:
        """See `Backend.run`."""
        check_clock(clock)
        inputs = Inputs.of(inputs)
        check_inputs(self.model, inputs)
        check_record(self.model, record)
        layers = self.plan.fed(inputs.driven, record)
        if self._gpu is not None:
            return self._gpu.run(inputs, record, clock)
        steps, values = inputs.steps, inputs.values
        answer = Answer(layers, len(inputs), steps, record)
        threads = torch.get_num_threads()
        size = self.plan.chunk(steps, threads, bool(record))
        if len(inputs) * steps * self.plan.widest < 2 * loops.WORTH_A_THREAD:
            threads = 1
        count = -(-len(inputs) // size)
        if count > 1 or threads > 1:  # even shares: no thread waits for another's last chunk
            count = min(-(-count // threads) * threads, len(inputs))
        edges = [len(inputs) * i // max(1, count) for i in range(max(1, count) + 1)]

        def work(number: int) -> None:
            some = slice(edges[number], edges[number + 1])
            signal = signals(values[some])
            for layer in layers:
                traced = layer.number in answer.layers
                if clock != ALIGNED and layer.synapse is not None:
                    signal = one_late(signal)
                done = fire(layer, signal, steps, traced, traced)
                answer.trace(layer, some, done)
                signal = done.spikes
            answer.end(layers[-1], some, done)

        if len(edges) > 2:
            each(work, len(edges) - 1)
        elif len(inputs):
            work(0)  # here: `torch.set_num_threads` takes longer than a small network
        return Run(answer.spikes, answer.membrane, answer.layers)

    def forward(self, inputs: Inputs | Tensor, surrogate: Backward) -> Run:
        """See `DifferentiableBackend.forward`; the floats are float32.

        A `BackwardMode` in place of a surrogate brings its hooks.
        """
        inputs = Inputs.of(inputs)
        check_inputs(self.model, inputs)
        if self._gpu is not None:
            return self._gpu.forward(inputs, surrogate)
        layers = self.plan.fed(inputs.driven)
        mode = BackwardMode.of(surrogate).spelled(KERNELS)
        steps, values = inputs.steps, inputs.values
        layer_pass = LayerPass(layers, self.model.input_shape, steps, mode, self.gradient)
        if not len(values):
            nothing = values.flatten(1).sum(1, keepdim=True).to(torch.float32)
            membrane = nothing.expand(0, layers[-1].neurons)
            return Run(membrane[..., None].expand(0, layers[-1].neurons, steps), membrane, {})
        return Run(*differentiable_run(layer_pass, values), {})

    def stream(self, record: Collection[int] = (), clock: str = GLOBAL) -> Stream:
        """A run in chunks of time with carried state, see `Stream`.

        Raises:
            BadInput: an unknown clock or layer, or this engine is on a GPU.
        """
        if self._gpu is not None:
            raise BadInput(f"engine: no streams on {self._gpu.device}, they run on cpu")
        return Stream(self.model, self.plan, record, clock)
