"""The network as one differentiable function: exact integers forward, an adjoint backward.

A batch goes through the layers in parts (`batch_parts`). What the adjoint needs of a part (every
layer's spikes and v before the reset) is kept up to a limit of memory; parts beyond it are run
again in the backward pass, which gives the same integers.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from neurorobust.backends.base import neurons
from neurorobust.backends.engine import batch_parts
from neurorobust.backends.engine.adjoint_cpu import Gradients
from neurorobust.backends.engine.forward import fire
from neurorobust.backends.engine.layer import THETA_LIMIT, LayerPlan
from neurorobust.backends.engine.layer_adjoint import Trace, layer_adjoint
from neurorobust.backends.engine.layout import internal, public, signals
from neurorobust.backends.engine.transpose import (
    feedback_gradient,
    input_gradient,
    weight_gradient,
)
from neurorobust.netx.model import Shape
from neurorobust.surrogates import BackwardMode

KEPT_BYTES = 1 << 30  # of all parts' traces together


@dataclass(frozen=True, eq=False)
class TrainedTensor:
    """A trained tensor as the file holds it: `weight`, `weight_rec` or `bias` of layer `place`.

    `delays` are the layer's, `[out, in]` as in the file, if it has any.
    """

    place: int
    name: str
    delays: Tensor | None = None


@dataclass(frozen=True, eq=False)
class LayerPass:
    """One pass of a batch through the layers and back: what autograd has to know of it.

    Attributes:
        layers: in order; the first is the on-chip input layer where drive is given.
        source: shape of the input, C, H, W.
        steps: number of time steps.
        mode: the backward pass.
        precision: of its products, `float32` or `bfloat16`.
        slots: what the trained tensors are, in their order.
    """

    layers: tuple[LayerPlan, ...]
    source: Shape
    steps: int
    mode: BackwardMode
    precision: str
    slots: tuple[TrainedTensor, ...] = ()

    def parts(self, batch: int) -> list[slice]:
        """The parts of a batch."""
        if self.mode.whole_batch:
            return [slice(0, batch)]
        return batch_parts.cut(batch, self.steps * max(self._widths()))

    def kept(self, batch: int) -> int:
        """How many parts are kept for the backward pass."""
        bytes_ = self.steps * sum(5 * width for width in self._widths())  # spikes uint8, v float32
        ends = [part.stop * bytes_ for part in self.parts(batch)]
        return sum(end <= KEPT_BYTES for end in ends)

    @functools.cached_property
    def rounds(self) -> bool:
        """Whether traces hold v - theta in bfloat16 for v.

        No hook of the mode asks for v, and the neurons' kernels know theta as it is.
        """
        mode = self.mode
        hooked = mode.scale is not None or mode.rate is not None or mode.averaged
        held = all(np.abs(layer.theta).max() <= THETA_LIMIT for layer in self.layers)
        return self.precision == "bfloat16" and not hooked and held

    def _widths(self) -> list[int]:
        return [neurons(self.source), *(layer.neurons for layer in self.layers)]


def differentiable_run(
    layer_pass: LayerPass, values: Tensor, *trained: Tensor
) -> tuple[Tensor, Tensor]:
    """Spikes `[batch, neurons, time]` and membrane `[batch, neurons]`, float32, with gradients.

    Args:
        layer_pass: layers whose integers already are those of the trained tensors.
        values: spikes `[batch, C, H, W, time]` or drive `[batch, C, H, W]`, exact integers of any
            type; gradients reach floats.
        trained: float tensors, one a slot; only their gradients are used. A rounding between them
            and the integers is passed straight through.
    """
    apply: Any = _Network.apply
    spikes, membrane = apply(values, layer_pass, *trained)
    return spikes, membrane


class _Network(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, values: Tensor, layer_pass: LayerPass, *trained: Tensor
    ) -> tuple[Tensor, Tensor]:
        wanted, shape = any(ctx.needs_input_grad), layer_pass.layers[-1].shape
        cuts, kept = layer_pass.parts(len(values)), layer_pass.kept(len(values)) if wanted else 0

        def work(number: int) -> tuple[Tensor, Tensor, list[Tensor]]:
            traces, membrane = _forward(layer_pass, values[cuts[number]], number < kept)
            spikes = public(traces[-1].spikes.to(torch.float32), shape)
            own = [t for trace in traces for t in (trace.voltage, trace.spikes)]
            tensors = [traces[0].source, *own] if number < kept else []
            return spikes, public(membrane[:, None], shape)[..., 0], tensors

        done = batch_parts.each(work, len(cuts))
        ctx.save_for_backward(values, *(tensor for *_, tensors in done for tensor in tensors))
        ctx.layer_pass = layer_pass
        return torch.cat([spikes for spikes, *_ in done]), torch.cat([done_[1] for done_ in done])

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]  # torch gives it no types
    def backward(ctx: Any, to_spikes: Tensor, to_membrane: Tensor) -> tuple[Tensor | None, ...]:
        values, *kept = ctx.saved_tensors
        layer_pass: LayerPass = ctx.layer_pass
        cuts, each = layer_pass.parts(len(values)), 1 + 2 * len(layer_pass.layers)

        def work(number: int) -> tuple[Tensor | None, list[Tensor]]:
            part, own = cuts[number], kept[number * each : (number + 1) * each]
            traces = _retrace(own) if own else _forward(layer_pass, values[part], True)[0]
            back = _Back(layer_pass, part.start, ctx.needs_input_grad[0])
            return back(traces, to_spikes[part], to_membrane[part])

        # the last part first: its traces are still in a cache
        done = batch_parts.each(lambda number: work(len(cuts) - 1 - number), len(cuts))[::-1]
        inputs = [reached for reached, _ in done if reached is not None]
        to_values = torch.cat(inputs).to(values.dtype) if inputs else None
        trained = batch_parts.each(
            lambda i: _sum([found[i] for _, found in done]), len(layer_pass.slots)
        )
        return (to_values, None, *trained)


def _sum(tensors: list[Tensor]) -> Tensor:
    total = tensors[0]
    for tensor in tensors[1:]:
        total += tensor
    return total.contiguous()


class _Back:
    """One part, from its last layer to its first."""

    def __init__(self, layer_pass: LayerPass, first: int, want_inputs: bool) -> None:
        self.layer_pass, self.first, self.want_inputs = layer_pass, first, want_inputs
        self.trained: dict[int, Tensor] = {}

    def __call__(
        self, traces: list[Trace], to_spikes: Tensor, to_membrane: Tensor
    ) -> tuple[Tensor | None, list[Tensor]]:
        """The gradients of the part's input (None unless wanted) and of the trained tensors."""
        layer_pass, layers = self.layer_pass, self.layer_pass.layers
        lowest = min((slot.place for slot in layer_pass.slots), default=len(layers))
        gradient = internal(to_spikes, layers[-1].shape)
        membrane: Tensor | None = internal(to_membrane[..., None], layers[-1].shape)[:, 0]
        for place in range(len(layers) - 1, -1, -1):
            layer, trace = layers[place], traces[place]
            deeper = self.want_inputs or lowest < place
            found = layer_adjoint(
                layer, layer_pass.mode, layer_pass.precision, trace, self.first, gradient, membrane
            )
            self._train(place, trace, found)
            if not deeper:
                return None, self._all_trained()
            if layer.synapse is None:
                return self._to_input(found.level[:, None])[..., 0], self._all_trained()
            assert found.sums is not None
            gradient = input_gradient(
                layer.synapse, found.sums, layer_pass.steps, layer_pass.precision
            )
            membrane = None
        return self._to_input(gradient.expand(-1, layer_pass.steps, -1)), self._all_trained()

    def _to_input(self, gradient: Tensor) -> Tensor:
        """`[samples, time, H * W * C]` -> `[samples, C, H, W, time]`."""
        flat = public(gradient, self.layer_pass.source)
        return flat.reshape(len(flat), *self.layer_pass.source, flat.shape[-1])

    def _all_trained(self) -> list[Tensor]:
        return [self.trained[number] for number in range(len(self.layer_pass.slots))]

    def _train(self, place: int, trace: Trace, found: Gradients) -> None:
        layer_pass, layer = self.layer_pass, self.layer_pass.layers[place]
        source = layer_pass.layers[place - 1].shape if place else layer_pass.source
        for number, slot in enumerate(layer_pass.slots):
            if slot.place != place:
                continue
            if slot.name == "bias":
                self.trained[number] = found.level.sum(0).view(-1, layer.shape[0]).sum(0)
                continue
            assert layer.synapse is not None
            assert found.sums is not None
            if slot.name == "weight_rec":
                self.trained[number] = feedback_gradient(
                    found.sums, trace.spikes, layer_pass.precision
                )
                continue
            self.trained[number] = weight_gradient(
                layer.synapse, found.sums, trace.source, source, slot.delays, layer_pass.precision
            )


def _forward(layer_pass: LayerPass, values: Tensor, keep: bool) -> tuple[list[Trace], Tensor]:
    """One part through all layers; without `keep` the traces hold no v."""
    signal = signals(values)
    traces = []
    for layer in layer_pass.layers:
        done = fire(
            layer,
            signal,
            layer_pass.steps,
            keep_voltage=keep and not layer_pass.rounds,
            keep_distance=keep and layer_pass.rounds,
        )
        voltage = torch.empty(0) if done.voltage is None else done.voltage
        traces.append(Trace(signal, voltage, done.spikes))
        signal = done.spikes
    return traces, done.membrane


def _retrace(tensors: list[Tensor]) -> list[Trace]:
    source, traces = tensors[0], []
    for voltage, spikes in zip(tensors[1::2], tensors[2::2], strict=True):
        traces.append(Trace(source, voltage, spikes))
        source = spikes
    return traces
