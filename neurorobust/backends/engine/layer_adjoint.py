"""One layer's adjoint by a `BackwardMode`: where its hooks meet what the layer did."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.backends.engine import gemm, recurrent
from neurorobust.backends.engine.adjoint_cpu import Gradients, adjoint
from neurorobust.backends.engine.layer import LayerPlan
from neurorobust.backends.engine.synapses import Dense
from neurorobust.errors import BadInput
from neurorobust.fixedpoint import STATE_SHIFT
from neurorobust.surrogates import BackwardMode, LayerView

_UNIT = float(1 << STATE_SHIFT)


@dataclass(frozen=True, eq=False)
class Trace:
    """What a layer did in one part of a batch.

    Attributes:
        source: what it was fed: spikes `[samples, time, inputs]`, or drive `[samples, neurons]`.
        voltage: float32 `[samples, time, neurons]`, v before the reset; or v - theta in bfloat16,
            where no hook asks for v.
        spikes: uint8 `[samples, time, neurons]`.
    """

    source: Tensor
    voltage: Tensor
    spikes: Tensor


def layer_adjoint(
    layer: LayerPlan,
    mode: BackwardMode,
    precision: str,
    trace: Trace,
    first: int,
    to_spikes: Tensor,
    to_membrane: Tensor | None,
) -> Gradients:
    """The gradients of a layer's input.

    Args:
        layer: the layer.
        mode: the backward pass.
        precision: of the products that follow.
        trace: what the layer did.
        first: place of the part's first sample in the batch.
        to_spikes: gradient of the spikes, float32 or bfloat16, `[samples, time, neurons]`; `time`
            is 1 where it is the same at every step.
        to_membrane: gradient of the membrane, `[samples, neurons]`, or None for zeros.

    Raises:
        BadInput: a hook's answer of another shape, or a gradient of means for a recurrent layer.
    """
    surrogate, voltage = mode.surrogate, trace.voltage
    simple = mode.rate is None and not mode.averaged and layer.feedback is None
    if not simple:
        to_spikes = to_spikes.to(torch.float32)
    scale = None
    if mode.scale is not None:
        scale = _checked("scale", layer, mode.scale(_view(layer, trace, first)), voltage)
    if mode.rate is not None or mode.averaged:
        return _mean_adjoint(layer, mode, trace, first, scale, to_spikes, to_membrane)
    if layer.feedback is not None:
        return recurrent.adjoint(
            layer, surrogate, voltage, to_spikes, to_membrane, scale, precision
        )
    wanted = layer.synapse is not None
    halved = precision == "bfloat16" and isinstance(layer.synapse, Dense)
    dtype = torch.bfloat16 if halved else torch.float32  # as its products will round it
    return adjoint(layer, surrogate, voltage, to_spikes, to_membrane, scale, wanted, dtype)


def _mean_adjoint(
    layer: LayerPlan,
    mode: BackwardMode,
    trace: Trace,
    first: int,
    scale: Tensor | None,
    to_spikes: Tensor,
    to_membrane: Tensor | None,
) -> Gradients:
    """One gradient for all steps: by a rate's derivative, or the mean of steps without memory."""
    if layer.feedback is not None:
        raise BadInput(
            f"backward mode: a gradient of means has no adjoint through layer {layer.number} "
            "(dense_rec)"
        )
    samples, steps, width = trace.voltage.shape
    if mode.rate is not None:
        shape = torch.empty((samples, width), device="meta")
        slope = _checked("rate", layer, mode.rate(_view(layer, trace, first)), shape)
        to_rate = to_spikes.sum(1) if to_spikes.shape[1] > 1 else to_spikes[:, 0] * steps
        level = to_rate * slope * _UNIT
    else:
        level = adjoint(
            layer, mode.surrogate, trace.voltage, to_spikes, None, scale, False, memory=False
        ).level
    sums = level / steps
    if to_membrane is not None:
        silence = torch.zeros((1, 1, 1)).expand(trace.voltage.shape)
        leaks = adjoint(layer, mode.surrogate, trace.voltage, silence, to_membrane)
        assert leaks.sums is not None
        sums, level = sums + leaks.sums.mean(1), level + leaks.level
    return Gradients(sums[:, None], level)


def _view(layer: LayerPlan, trace: Trace, first: int) -> LayerView:
    def mean_input() -> Tensor:
        if layer.synapse is None:
            return trace.source.to(torch.float32) * _UNIT
        sums = gemm.weighted_sums(layer.synapse, trace.source).to(torch.float32)
        if layer.synapse.shift:
            sums = sums.mul_(2.0**-layer.synapse.shift).floor_()
        if layer.feedback is not None:
            sums = sums + recurrent.returned(layer.feedback, trace.spikes)
        return sums.mean(1) * _UNIT + torch.from_numpy(layer.bias).to(torch.float32)

    theta = torch.from_numpy(layer.theta).to(torch.float32)
    kept = torch.from_numpy(layer.kept).to(torch.float32)
    if layer.synapse is None:
        kept[0] = 0
    return LayerView(
        layer.number, first, trace.voltage, trace.spikes, theta, kept, layer.shape, mean_input
    )


def _checked(what: str, layer: LayerPlan, values: Tensor, wanted: Tensor) -> Tensor:
    try:
        return values.detach().to(torch.float32).expand(wanted.shape)
    except RuntimeError:
        raise BadInput(
            f"backward mode: {what} of layer {layer.number} has shape {tuple(values.shape)}, "
            f"does not broadcast to {tuple(wanted.shape)}"
        ) from None
