"""The on-chip input layer: an integer bias straight into v, exactly the chip's rule.

lava-dl's stock `cuba.Input` rounds x to 8 bits and puts it into u; the chip adds bias_mant << 6 to
v. The encoder computes bias_mant = trunc(weight * x + bias); nothing is rounded here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from neurorobust.fixedpoint import DECAY_BITS, DECAY_UNITY, STATE_LIMIT, STATE_SHIFT


class InputBlock(nn.Module):
    """Constant drive in, spikes out.

        v <- clip(decay(v, vDecay) + (bias_mant << 6));  s <- v > (vth << 6);  v <- 0 where s

    The forward pass is `fixedpoint.lif_step` with activation 0. The backward pass is SLAYER's: a
    symmetric exponential around the threshold, and the leak's linear adjoint without the reset.

    Args:
        shape: C, H, W.
        threshold, voltage_decay: in SLAYER's units; held as int(threshold * 64) and
            round(decay * 4096).
        weight, bias: how the encoder makes drive of x; only carried into the file.
        tau_grad, scale_grad: relaxation (times 100 thresholds) and scale (times 0.1), as in
            lava-dl's `neuron/cuba.py`.
    """

    kind = "input"

    def __init__(
        self,
        shape: tuple[int, int, int],
        threshold: float,
        voltage_decay: float,
        weight: int = 64,
        bias: int = 0,
        tau_grad: float = 1.0,
        scale_grad: float = 1.0,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.threshold = int(threshold * 64)
        self.voltage_decay = round(voltage_decay * DECAY_UNITY)
        self.weight, self.bias = weight, bias
        self.tau_grad, self.scale_grad = tau_grad, scale_grad

    def forward(self, bias_mant: Tensor, steps: int) -> Tensor:
        """Spikes float `[batch, C, H, W, steps]` for int16 integers `[batch, C, H, W]`."""
        fire: Callable[..., Tensor] = _Drive.apply
        return fire(
            bias_mant.to(torch.get_default_dtype()),
            steps,
            self.threshold,
            self.voltage_decay,
            self.tau_grad,
            self.scale_grad,
        )


def integrate(
    bias_mant: Tensor, steps: int, threshold: int, voltage_decay: int
) -> tuple[Tensor, Tensor]:
    """Spikes bool and v *before* the reset, int64 `[..., steps]`, of integer drive `[...]`."""
    push = bias_mant.to(torch.int64) << STATE_SHIFT
    keep = DECAY_UNITY - voltage_decay
    v = torch.zeros_like(push)
    spikes, voltages = [], []
    for _ in range(steps):
        v = torch.sign(v) * ((v.abs() * keep) >> DECAY_BITS) + push
        v = v.clamp(-STATE_LIMIT + 1, STATE_LIMIT - 1)
        spike = v > threshold << STATE_SHIFT
        spikes.append(spike)
        voltages.append(v)
        v = torch.where(spike, 0, v)
    return torch.stack(spikes, -1), torch.stack(voltages, -1)


class _Drive(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        bias_mant: Tensor,
        steps: int,
        threshold: int,
        voltage_decay: int,
        tau_grad: float,
        scale_grad: float,
    ) -> Tensor:
        spikes, voltages = integrate(bias_mant, steps, threshold, voltage_decay)
        scale = float(1 << (2 * STATE_SHIFT))  # v in SLAYER's units is v / 2^12
        ctx.save_for_backward(voltages.to(bias_mant.dtype) / scale)
        ctx.theta = threshold / (1 << STATE_SHIFT)
        ctx.keep = 1 - voltage_decay / DECAY_UNITY
        ctx.rho = (100 * tau_grad * ctx.theta, 0.1 * scale_grad)
        return spikes.to(bias_mant.dtype)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad_spikes,) = grad_outputs
        (voltages,) = ctx.saved_tensors
        tau, scale = ctx.rho
        derivative = scale / (2 * tau) * torch.exp(-(voltages - ctx.theta).abs() / tau)
        grad_voltage = grad_spikes * derivative
        carried = torch.zeros_like(grad_voltage[..., 0])
        total = torch.zeros_like(carried)
        for step in reversed(range(grad_voltage.shape[-1])):
            carried = grad_voltage[..., step] + ctx.keep * carried
            total = total + carried
        return total / (1 << STATE_SHIFT), None, None, None, None, None
