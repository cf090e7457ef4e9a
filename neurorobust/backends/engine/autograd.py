"""One layer as a differentiable step: exact integers forward, the surrogate's adjoint backward.

Layers are chained by ordinary tensors, so a scale per neuron and step on any layer's spike gradient
is a tensor hook on its output.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from neurorobust.backends.engine import gemm, lif_cpu
from neurorobust.backends.engine.adjoint_cpu import adjoint
from neurorobust.backends.engine.plan import LayerPlan
from neurorobust.fixedpoint import STATE_SHIFT
from neurorobust.surrogates import Surrogate


def fire(
    layer: LayerPlan,
    source: Tensor,
    steps: int,
    keep_voltage: bool = False,
    keep_current: bool = False,
) -> lif_cpu.Steps:
    """A layer's answer.

    Args:
        layer: the layer.
        source: spikes float32 `[batch, time, inputs]`, or drive `[batch, neurons]` (bias_mant) for
            an input layer.
        steps: number of time steps.
        keep_voltage: return v before the reset.
        keep_current: return u.
    """
    if layer.synapse is None:
        sums = torch.zeros((len(source), steps, layer.neurons), dtype=torch.float32)
        bias = source.to(torch.float64) * (1 << STATE_SHIFT)
        return lif_cpu.integrate(layer, sums, bias, keep_voltage, keep_current)
    sums = gemm.weighted_sums(layer.synapse, source)
    return lif_cpu.integrate(layer, sums, None, keep_voltage, keep_current)


def differentiable_fire(
    layer: LayerPlan, source: Tensor, steps: int, surrogate: Surrogate
) -> tuple[Tensor, Tensor]:
    """`fire` with gradients: float32 spikes `[batch, time, neurons]`, membrane `[batch, neurons]`.

    The gradient of drive is summed over the steps that hold it.
    """
    apply: Any = _Fire.apply
    spikes, membrane = apply(source, layer, steps, surrogate)
    return spikes, membrane


class _Fire(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, source: Tensor, layer: LayerPlan, steps: int, surrogate: Surrogate
    ) -> tuple[Tensor, Tensor]:
        done = fire(layer, source, steps, keep_voltage=ctx.needs_input_grad[0])
        if done.voltage is not None:
            ctx.save_for_backward(done.voltage)
        ctx.layer, ctx.surrogate = layer, surrogate
        return done.spikes, done.membrane

    @staticmethod
    def backward(
        ctx: Any, spike_gradient: Tensor, membrane_gradient: Tensor
    ) -> tuple[Tensor, None, None, None]:
        (voltage,) = ctx.saved_tensors
        with torch.no_grad():
            sums = adjoint(ctx.layer, ctx.surrogate, voltage, spike_gradient, membrane_gradient)
            if ctx.layer.synapse is None:
                return sums.sum(1), None, None, None
            return gemm.transposed_sums(ctx.layer.synapse, sums), None, None, None
