"""CUBA neurons: SLAYER's own integers, or the same dynamics before any rounding.

Both return spikes, u and v *before* the reset in Lava's units (SLAYER's times 2^12).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.fixedpoint import DECAY_UNITY, STATE_SHIFT
from neurorobust.networks.input import InputBlock, integrate

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
        feedback: `[to, from]`, what a spike adds to the sums of the next step; None if nothing.
    """

    fire: Callable[[Tensor], Steps]
    kept_current: Tensor
    kept_voltage: Tensor
    theta: float
    unit: float
    feedback: Tensor | None = None


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
        steps = integrate_floats(drive * DRIVE_UNIT, nothing, kept, theta)
        return Steps(steps.spikes, torch.zeros_like(steps.current), steps.voltage)

    return Neurons(fire, nothing, kept, theta, DRIVE_UNIT)


def integrate_floats(
    push: Tensor,
    kept_u: Tensor,
    kept_v: Tensor,
    theta: float,
    feedback: Tensor | None = None,
    bias: Tensor | float = 0.0,
) -> Steps:
    """`u <- kept_u u + push + feedback s[t - 1]; v <- kept_v v + u + bias`, spiking above theta.

    Args:
        push: `[batch, ..., time]`, what the synapses (or the drive) add, in Lava's units.
        kept_u: the fraction of u that is kept in one step, one number or one a channel.
        kept_v: the same of v.
        theta: threshold, infinite for what never spikes.
        feedback: `[to, from]` weights of the layer's own spikes of the step before.
        bias: added to v in every step, one number or one a channel.
    """
    u = v = torch.zeros_like(push[..., 0])
    columns: tuple[list[Tensor], ...] = ([], [], [])
    for step in range(push.shape[-1]):
        u = kept_u * u + push[..., step]
        if feedback is not None and step:
            u = u + columns[0][-1] @ feedback.t()
        v = kept_v * v + u + bias
        spike = v > theta
        for column, value in zip(columns, (spike.to(push.dtype), u, v), strict=True):
            column.append(value)
        v = torch.where(spike, 0.0, v)
    return Steps(*(torch.stack(column, -1) for column in columns))
