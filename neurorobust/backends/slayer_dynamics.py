"""CUBA neurons: SLAYER's own integers, or the same dynamics before any rounding.

Both return spikes, u and v *before* the reset in Lava's units (SLAYER's times 2^12).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neurorobust.fixedpoint import DECAY_UNITY, STATE_SHIFT
from neurorobust.networks.blocks import forget, is_recurrent
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


def quantised_neurons(block: Any) -> Neurons:
    """lava-dl's own CPU dynamics of a CUBA block: int64 inside, exact in float32 below 2^24."""
    neuron, feedback = block.neuron, _feedback(block)

    def fire(sums: Tensor) -> Steps:
        if feedback is not None:
            return _fire_recurrent(block, sums, feedback)
        current, voltage = neuron.dynamics(sums)
        spikes = neuron.spike(voltage)
        return Steps(spikes, current * SLAYER_UNIT, voltage * SLAYER_UNIT)

    return Neurons(
        fire,
        _kept(block, neuron.cx_current_decay),
        _kept(block, neuron.cx_voltage_decay),
        float(neuron.v_th_mant << STATE_SHIFT),
        SLAYER_UNIT,
        feedback,
    )


def float_neurons(block: Any, threshold: float) -> Neurons:
    """The same neurons with unrounded decays and threshold, on no grid."""
    neuron = block.neuron
    current = _kept(block, neuron.current_decay.detach())
    voltage = _kept(block, neuron.voltage_decay.detach())
    theta, feedback = threshold * SLAYER_UNIT, _feedback(block)
    lifted = None if feedback is None else feedback * SLAYER_UNIT

    def fire(sums: Tensor) -> Steps:
        return _integrate(sums * SLAYER_UNIT, current, voltage, theta, lifted)

    return Neurons(fire, current, voltage, theta, SLAYER_UNIT, feedback)


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


def _feedback(block: Any) -> Tensor | None:
    """A recurrent block's own weights as its forward pass uses them."""
    if not is_recurrent(block):
        return None
    synapse = block.recurrent_synapse
    weight: Tensor = synapse.weight.detach()
    if synapse.pre_hook_fx is not None:
        weight = synapse.pre_hook_fx(weight)
    return weight.reshape(weight.shape[:2])


def _fire_recurrent(block: Any, sums: Tensor, feedback: Tensor) -> Steps:
    """Step by step from zero state, as lava-dl's `utils/recurrent.py`."""
    neuron, columns = block.neuron, []
    forget(block)
    spikes = torch.zeros_like(sums[..., 0])
    for step in range(sums.shape[-1]):
        current, voltage = neuron.dynamics((sums[..., step] + spikes @ feedback.t())[..., None])
        spikes = neuron.spike(voltage)[..., 0]
        columns.append((spikes, current[..., 0] * SLAYER_UNIT, voltage[..., 0] * SLAYER_UNIT))
    forget(block)
    return Steps(*(torch.stack(values, -1) for values in zip(*columns, strict=True)))


def _kept(block: Any, decay: Any) -> Tensor:
    """Fractions kept, one for the layer or one a channel, for decays that are 4096 at most."""
    kept: Tensor = 1 - torch.as_tensor(decay, dtype=torch.float32).reshape(-1) / DECAY_UNITY
    return kept.reshape(-1, *(1 for _ in block.neuron.shape[1:])) if len(kept) > 1 else kept[0]


def _integrate(
    push: Tensor, kept_u: Tensor, kept_v: Tensor, theta: float, feedback: Tensor | None = None
) -> Steps:
    u = v = torch.zeros_like(push[..., 0])
    columns: tuple[list[Tensor], ...] = ([], [], [])
    for step in range(push.shape[-1]):
        u = kept_u * u + push[..., step]
        if feedback is not None and step:
            u = u + columns[0][-1] @ feedback.t()
        v = kept_v * v + u
        spike = v > theta
        for column, value in zip(columns, (spike.to(push.dtype), u, v), strict=True):
            column.append(value)
        v = torch.where(spike, 0.0, v)
    return Steps(*(torch.stack(column, -1) for column in columns))
