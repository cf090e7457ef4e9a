"""Where a `BackwardMode`'s hooks meet a layer: its view, its scale of ds/dv, its rate's adjoint."""

from __future__ import annotations

import torch
from torch import Tensor

from neurorobust.backends.engine import gemm
from neurorobust.backends.engine.adjoint_cpu import Gradients, adjoint
from neurorobust.backends.engine.plan import LayerPlan
from neurorobust.errors import BadInput
from neurorobust.fixedpoint import STATE_SHIFT
from neurorobust.surrogates import BackwardMode, LayerView

_UNIT = float(1 << STATE_SHIFT)


def view(
    layer: LayerPlan, source: Tensor, voltage: Tensor, spikes: Tensor, first: int
) -> LayerView:
    """What a hook sees of a layer that was fed `source` (spikes, or drive for an input layer)."""

    def mean_input() -> Tensor:
        if layer.synapse is None:
            return source.to(torch.float32) * _UNIT
        sums = gemm.weighted_sums(layer.synapse, source).to(torch.float32)
        if layer.synapse.shift:
            sums = sums.mul_(2.0**-layer.synapse.shift).floor_()
        return sums.mean(1) * _UNIT + torch.from_numpy(layer.bias).to(torch.float32)

    theta, kept = (
        torch.from_numpy(values).to(torch.float32) for values in (layer.theta, layer.kept)
    )
    return LayerView(layer.number, first, voltage, spikes, theta, kept, mean_input)


def hooked_adjoint(
    layer: LayerPlan,
    mode: BackwardMode,
    seen: LayerView,
    spike_gradient: Tensor,
    membrane_gradient: Tensor | None,
    want_sums: bool,
) -> Gradients:
    """`adjoint_cpu.adjoint` by a mode that has a hook."""
    if mode.rate is not None:
        slope = _checked("rate", layer, mode.rate(seen), seen.voltage[:, 0])
        return _rate_adjoint(layer, mode, seen, slope, spike_gradient, membrane_gradient)
    assert mode.scale is not None
    scale = _checked("scale", layer, mode.scale(seen), seen.voltage)
    return adjoint(
        layer, mode.surrogate, seen.voltage, spike_gradient, membrane_gradient, scale, want_sums
    )


def _rate_adjoint(
    layer: LayerPlan,
    mode: BackwardMode,
    seen: LayerView,
    slope: Tensor,
    spike_gradient: Tensor,
    membrane_gradient: Tensor | None,
) -> Gradients:
    """Every step's spike is the rate: ds_t / d(mean input) = slope."""
    steps = seen.voltage.shape[1]
    to_rate = spike_gradient.sum(1) if spike_gradient.shape[1] > 1 else spike_gradient[:, 0] * steps
    level = to_rate * slope * _UNIT
    sums = level / steps
    if membrane_gradient is not None:
        silence = torch.zeros((1, 1, 1)).expand(seen.voltage.shape)
        leaks = adjoint(layer, mode.surrogate, seen.voltage, silence, membrane_gradient)
        assert leaks.sums is not None
        sums, level = sums + leaks.sums.mean(1), level + leaks.level
    return Gradients(sums[:, None], level)


def _checked(what: str, layer: LayerPlan, values: Tensor, wanted: Tensor) -> Tensor:
    try:
        return values.detach().to(torch.float32).expand(wanted.shape)
    except RuntimeError:
        raise BadInput(
            f"backward mode: {what} of layer {layer.number} has shape {tuple(values.shape)}, "
            f"does not broadcast to {tuple(wanted.shape)}"
        ) from None
