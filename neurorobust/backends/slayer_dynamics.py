"""CUBA neurons with an adjoint: SLAYER's own integers, or the same dynamics before any rounding.

Both return spikes, u and v *before* the reset in Lava's units (SLAYER's times 2^12), and both get
the engine's convention backward: ds/dv from the given surrogate, linear leaks, nothing through the
reset, the membrane's gradient where the neuron did not spike last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neurorobust.fixedpoint import DECAY_UNITY, STATE_SHIFT
from neurorobust.networks.input import InputBlock, integrate
from neurorobust.surrogates import Surrogate

SLAYER_UNIT = float(1 << (2 * STATE_SHIFT))  # Lava's u and v for 1.0 of SLAYER's
DRIVE_UNIT = float(1 << STATE_SHIFT)  # Lava's v for 1 of bias_mant


@dataclass(frozen=True)
class Steps:
    """`[batch, ..., time]` float32 each."""

    spikes: Tensor
    current: Tensor
    voltage: Tensor

    @property
    def membrane(self) -> Tensor:
        """V after the last step."""
        last: Tensor = self.voltage[..., -1] * (1 - self.spikes[..., -1])
        return last


@dataclass(frozen=True)
class Neurons:
    """One layer's neurons.

    Attributes:
        fire: what they answer to their input (synapses' sums in SLAYER's units; or held drive).
        kept_current, kept_voltage: the fractions kept in one step, broadcast over a layer's shape.
        theta: threshold in Lava's units.
        unit: Lava's units of u (of v, for an input layer) for 1 of the input.
    """

    fire: Callable[[Tensor], Steps]
    kept_current: Tensor
    kept_voltage: Tensor
    theta: float
    unit: float


def quantised_neurons(block: Any) -> Neurons:
    """lava-dl's own CPU dynamics of a CUBA block: int64 inside, exact in float32 below 2^24."""
    neuron = block.neuron

    def fire(sums: Tensor) -> Steps:
        current, voltage = neuron.dynamics(sums)
        spikes = neuron.spike(voltage)
        return Steps(spikes, current * SLAYER_UNIT, voltage * SLAYER_UNIT)

    return Neurons(
        fire,
        _kept(block, neuron.cx_current_decay),
        _kept(block, neuron.cx_voltage_decay),
        float(neuron.v_th_mant << STATE_SHIFT),
        SLAYER_UNIT,
    )


def float_neurons(block: Any, threshold: float) -> Neurons:
    """The same neurons with unrounded decays and threshold, on no grid."""
    neuron = block.neuron
    current = _kept(block, neuron.current_decay.detach())
    voltage = _kept(block, neuron.voltage_decay.detach())
    theta = threshold * SLAYER_UNIT

    def fire(sums: Tensor) -> Steps:
        return _integrate(sums * SLAYER_UNIT, current, voltage, theta)

    return Neurons(fire, current, voltage, theta, SLAYER_UNIT)


def quantised_input(block: InputBlock) -> Neurons:
    """Our on-chip input layer: the chip's rule."""

    def fire(drive: Tensor) -> Steps:
        spikes, voltage = integrate(
            drive[..., 0], drive.shape[-1], block.threshold, block.voltage_decay
        )
        spikes, voltage = spikes.to(torch.float32), voltage.to(torch.float32)
        return Steps(spikes, torch.zeros_like(voltage), voltage)

    kept = torch.tensor(1 - block.voltage_decay / DECAY_UNITY)
    theta = float(block.threshold << STATE_SHIFT)
    return Neurons(fire, torch.tensor(0.0), kept, theta, DRIVE_UNIT)


def float_input(threshold: float, voltage_decay: float) -> Neurons:
    """The input layer with unrounded decay and threshold; its drive stays what the encoder gave."""
    nothing, kept = torch.tensor(0.0), torch.tensor(1 - voltage_decay)
    theta = threshold * SLAYER_UNIT

    def fire(drive: Tensor) -> Steps:
        steps = _integrate(drive * DRIVE_UNIT, nothing, kept, theta)
        return Steps(steps.spikes, torch.zeros_like(steps.current), steps.voltage)

    return Neurons(fire, nothing, kept, theta, DRIVE_UNIT)


def differentiable(neurons: Neurons, inputs: Tensor, surrogate: Surrogate) -> tuple[Tensor, Tensor]:
    """Spikes `[batch, ..., time]` and the membrane after the last step, with gradients."""
    fire: Callable[..., tuple[Tensor, Tensor]] = _Fire.apply
    spikes, membrane = fire(inputs, neurons, surrogate)
    return spikes, membrane


def _kept(block: Any, decay: Any) -> Tensor:
    """Fractions kept, one for the layer or one a channel, for decays that are 4096 at most."""
    kept: Tensor = 1 - torch.as_tensor(decay, dtype=torch.float32).reshape(-1) / DECAY_UNITY
    return kept.reshape(-1, *(1 for _ in block.neuron.shape[1:])) if len(kept) > 1 else kept[0]


def _integrate(push: Tensor, kept_u: Tensor, kept_v: Tensor, theta: float) -> Steps:
    u = v = torch.zeros_like(push[..., 0])
    columns: tuple[list[Tensor], ...] = ([], [], [])
    for step in range(push.shape[-1]):
        u = kept_u * u + push[..., step]
        v = kept_v * v + u
        spike = v > theta
        for column, value in zip(columns, (spike.to(push.dtype), u, v), strict=True):
            column.append(value)
        v = torch.where(spike, 0.0, v)
    return Steps(*(torch.stack(column, -1) for column in columns))


class _Fire(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, neurons: Neurons, surrogate: Surrogate
    ) -> tuple[Tensor, Tensor]:
        steps = neurons.fire(inputs)
        ctx.save_for_backward(steps.spikes, steps.voltage)
        ctx.neurons, ctx.surrogate = neurons, surrogate
        return steps.spikes, steps.membrane

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        grad_spikes, grad_membrane = grad_outputs
        spikes, voltage = ctx.saved_tensors
        neurons: Neurons = ctx.neurons
        width = ctx.surrogate.width * max(neurons.theta, DRIVE_UNIT)  # at least one vThMant
        to_voltage = (
            grad_spikes * ctx.surrogate.derivative((voltage - neurons.theta) / width) / width
        )
        result = torch.empty_like(to_voltage)
        along_voltage = grad_membrane * (1 - spikes[..., -1])
        along_current = torch.zeros_like(along_voltage)
        for step in reversed(range(result.shape[-1])):
            here = to_voltage[..., step] + along_voltage
            through = here + along_current
            result[..., step] = through
            along_voltage = neurons.kept_voltage * here
            along_current = neurons.kept_current * through
        return result * neurons.unit, None, None
