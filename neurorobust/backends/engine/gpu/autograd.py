"""The network on a GPU as one differentiable function: exact integers forward, an adjoint backward.

A batch goes through the layers in parts. What the adjoint needs of a part is kept up to a limit of
memory; parts beyond it are run again in the backward pass, which gives the same integers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from neurorobust.backends.engine.gpu.gemm import full_float32
from neurorobust.backends.engine.gpu.layer import GpuLayer
from neurorobust.errors import BadInput
from neurorobust.fixedpoint import STATE_SHIFT
from neurorobust.netx.model import Shape
from neurorobust.surrogates import BackwardMode, LayerView

Function = TypeVar("Function", bound=Callable[..., Any])
once = cast(Callable[[Function], Function], once_differentiable)

KEPT_BYTES = 1 << 33  # of all parts' traces together

_UNIT = float(1 << STATE_SHIFT)


@dataclass(frozen=True, eq=False)
class LayerPass:
    """How a batch goes through the layers and back.

    Attributes:
        layers: in order; the first is the on-chip input layer where drive is given.
        device: where they are.
        source: shape of the input, C, H, W.
        steps: number of time steps.
        mode: the backward pass.
        precision: of its products, `float32` or `bfloat16`.
        part: samples that go through the layers together.
    """

    layers: tuple[GpuLayer, ...]
    device: torch.device
    source: Shape
    steps: int
    mode: BackwardMode
    precision: str
    part: int

    def parts(self, batch: int) -> Iterator[slice]:
        """The parts of a batch; one of nothing for an empty batch."""
        size = batch if self.mode.whole_batch else self.part
        return (slice(first, first + size) for first in range(0, max(1, batch), max(1, size)))


@dataclass(frozen=True, eq=False)
class _Trace:
    """What a layer was fed, its v before the reset, and its spikes."""

    source: Tensor
    voltage: Tensor
    spikes: Tensor


def differentiable_run(layer_pass: LayerPass, values: Tensor) -> tuple[Tensor, Tensor]:
    """Spikes `[batch, neurons, time]` and membrane `[batch, neurons]`, float32, with gradients.

    Args:
        layer_pass: the way.
        values: spikes `[batch, C, H, W, time]` or drive `[batch, C, H, W]`, exact integers of any
            type, on any device; what is returned is there too.
    """
    apply: Any = _Network.apply
    spikes, membrane = apply(values, layer_pass)
    return spikes, membrane


def signals(values: Tensor, device: torch.device) -> Tensor:
    """Spikes to int8 `[batch, time, H * W * C]`, drive to int32 without the time."""
    spikes = values.dim() == 5
    order = (0, 4, 2, 3, 1) if spikes else (0, 2, 3, 1)
    moved = values.to(device).to(torch.int8 if spikes else torch.int32)
    return moved.permute(order).contiguous().flatten(2 if spikes else 1)


def public(signal: Tensor, shape: Shape) -> Tensor:
    """`[batch, time, H * W * C]` -> `[batch, C * H * W, time]`."""
    (channels, height, width), (batch, steps, entries) = shape, signal.shape
    split = signal.reshape(batch, steps, height * width, channels)
    return split.permute(0, 3, 2, 1).reshape(batch, entries, steps)


def _internal(signal: Tensor, shape: Shape) -> Tensor:
    """The way back from `public`."""
    (channels, height, width), (batch, entries, steps) = shape, signal.shape
    split = signal.reshape(batch, channels, height * width, steps)
    return split.permute(0, 3, 2, 1).reshape(batch, steps, entries)


class _Network(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, layer_pass: LayerPass) -> tuple[Tensor, Tensor]:
        wanted, room, shape = ctx.needs_input_grad[0], KEPT_BYTES, layer_pass.layers[-1].shape
        spikes, membranes = list[Tensor](), list[Tensor]()
        kept: list[list[_Trace]] = []
        for part in layer_pass.parts(len(values)):
            traces, membrane = _forward(layer_pass, values[part], wanted)
            spikes.append(public(traces[-1].spikes.to(torch.float32), shape))
            membranes.append(public(membrane[:, None].to(torch.float32), shape)[..., 0])
            room -= sum(trace.voltage.nbytes + trace.spikes.nbytes for trace in traces)
            if wanted and room >= 0:
                kept.append(traces)
        ctx.save_for_backward(values)
        ctx.layer_pass, ctx.kept = layer_pass, kept
        return torch.cat(spikes).to(values.device), torch.cat(membranes).to(values.device)

    @staticmethod
    @once
    def backward(ctx: Any, to_spikes: Tensor, to_membrane: Tensor) -> tuple[Tensor, None]:
        (values,) = ctx.saved_tensors
        layer_pass: LayerPass = ctx.layer_pass
        reached = list[Tensor]()
        with full_float32():
            for number, part in enumerate(layer_pass.parts(len(values))):
                known = number < len(ctx.kept)
                traces = ctx.kept[number] if known else _forward(layer_pass, values[part], True)[0]
                gradients = (grad[part].to(layer_pass.device) for grad in (to_spikes, to_membrane))
                reached.append(_back(layer_pass, part.start, traces, *gradients))
        return torch.cat(reached).to(values), None


def _forward(layer_pass: LayerPass, values: Tensor, keep: bool) -> tuple[list[_Trace], Tensor]:
    """One part through all layers, and v after the last step; without `keep` no layer's v."""
    signal, traces = signals(values, layer_pass.device), list[_Trace]()
    for layer in layer_pass.layers:
        done = layer.fire(signal, layer_pass.steps, keep_voltage=keep)
        voltage = signal.new_empty(0) if done.voltage is None else done.voltage
        traces.append(_Trace(signal, voltage, done.spikes))
        signal = done.spikes
    return traces, done.state[1]


def _back(
    layer_pass: LayerPass, first: int, traces: list[_Trace], to_spikes: Tensor, to_membrane: Tensor
) -> Tensor:
    """One part from its last layer to its first; the gradient of its input."""
    shape = layer_pass.layers[-1].shape
    gradient = _internal(to_spikes, shape)
    membrane = _internal(to_membrane[..., None], shape)[:, 0]
    for layer, trace in zip(reversed(layer_pass.layers), reversed(traces), strict=True):
        sums, level = _adjoint(layer_pass, layer, trace, gradient, membrane, first)
        if layer.synapse is None or sums is None:
            return public(level[:, None], layer_pass.source).view(len(level), *layer_pass.source)
        gradient = layer.synapse.transposed(sums, layer_pass.precision)
        membrane = gradient.new_zeros(gradient[:, 0].shape)
    return public(gradient, layer_pass.source).view(
        len(gradient), *layer_pass.source, layer_pass.steps
    )


def _adjoint(
    layer_pass: LayerPass,
    layer: GpuLayer,
    trace: _Trace,
    gradient: Tensor,
    membrane: Tensor,
    first: int,
) -> tuple[Tensor | None, Tensor]:
    """Gradients of a layer's sums and of its bias, by a mode."""
    mode, precision = layer_pass.mode, layer_pass.precision
    seen = _view(layer, trace, first) if mode.scale or mode.rate else None
    scale = None
    if mode.scale is not None:
        assert seen is not None
        scale = _checked("scale", layer, mode.scale(seen), seen.voltage)
    if mode.rate is None and not mode.averaged:
        return layer.back(mode.surrogate, trace.voltage, gradient, membrane, scale, precision)
    if layer.feedback is not None:
        raise BadInput(
            f"backward mode: a gradient of means has no adjoint through layer {layer.number} "
            f"({layer.kind})"
        )
    if mode.rate is not None:
        assert seen is not None
        slope = _checked("rate", layer, mode.rate(seen), seen.voltage[:, 0])
        level = gradient.sum(1) * slope * _UNIT
    else:
        nothing = torch.zeros_like(membrane)
        _, level = layer.back(
            mode.surrogate, trace.voltage, gradient, nothing, scale, precision, memory=False
        )
    silence = torch.zeros_like(gradient)
    leaks, own = layer.back(mode.surrogate, trace.voltage, silence, membrane, None, precision)
    if leaks is None:
        return None, level + own
    steps = gradient.shape[1]
    sums = level / steps + leaks.mean(1)
    return sums[:, None].expand(-1, steps, -1), level + own


def _view(layer: GpuLayer, trace: _Trace, first: int) -> LayerView:
    """What a hook sees of a layer."""

    def mean_input() -> Tensor:
        if layer.synapse is None:
            return trace.source.to(torch.float32) * _UNIT
        found = layer.synapse.sums(trace.source)
        whole = (found.values[..., : layer.cells.width] >> found.right) << found.left
        return whole.to(torch.float32).mean(1) * _UNIT + layer.cells.parameters[3]

    kept = layer.kept.to(torch.float32, copy=True)
    if layer.synapse is None:
        kept[0] = 0
    return LayerView(
        layer.number,
        first,
        trace.voltage.to(torch.float32),
        trace.spikes.to(torch.uint8),
        layer.theta.to(torch.float32),
        kept,
        layer.shape,
        mean_input,
    )


def _checked(what: str, layer: GpuLayer, values: Tensor, wanted: Tensor) -> Tensor:
    try:
        return values.detach().to(wanted).expand(wanted.shape)
    except RuntimeError:
        raise BadInput(
            f"backward mode: {what} of layer {layer.number} has shape {tuple(values.shape)}, "
            f"does not broadcast to {tuple(wanted.shape)}"
        ) from None
