"""CUBA neurons: SLAYER's own integers, or the same dynamics before any rounding.

Both return spikes, u and v *before* the reset in Lava's units (SLAYER's times 2^12).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neurorobust.export.fold import Fold
from neurorobust.fixedpoint import (
    ACCUMULATOR_THRESHOLD,
    DECAY_UNITY,
    STATE_SHIFT,
    THRESHOLD_MAX,
)
from neurorobust.networks.blocks import forget, is_recurrent
from neurorobust.networks.input import InputBlock, integrate
from neurorobust.networks.lava_dl import import_slayer

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


def quantised_neurons(block: Any, fold: Fold) -> Neurons:
    """lava-dl's own CPU dynamics of a CUBA block: int64 inside, exact in float32 below 2^24.

    u is the chip's (before any norm), v is SLAYER's times 2^`fold.exponent`, as the chip has it.
    """
    neuron, feedback = block.neuron, _feedback(block)
    unit = float(neuron.s_scale)
    lifted = unit * 2.0**fold.exponent

    def fire(sums: Tensor) -> Steps:
        if feedback is not None:
            return _fire_recurrent(block, sums, feedback, lifted)
        current, voltage = _dynamics(neuron, sums)
        return Steps(neuron.spike(voltage), current * unit, voltage * lifted)

    return Neurons(
        fire,
        _kept(block, neuron.cx_current_decay),
        _kept(block, neuron.cx_voltage_decay),
        float(neuron.v_th_mant << STATE_SHIFT) * 2.0**fold.exponent,
        unit,
        feedback,
    )


def float_neurons(block: Any, threshold: float, fold: Fold) -> Neurons:
    """The same neurons with unrounded decays, threshold and running mean, on no grid."""
    neuron = block.neuron
    current = _kept(block, neuron.current_decay.detach())
    voltage = _kept(block, neuron.voltage_decay.detach())
    unit = float(neuron.s_scale)
    theta, feedback = threshold * unit * 2.0**fold.exponent, _feedback(block)
    lifted = None if feedback is None else feedback * unit
    bias = torch.tensor(0.0)
    if neuron.norm is not None:
        bias = _per_channel(block, -unit * neuron.norm.running_mean.detach().reshape(-1))

    def fire(sums: Tensor) -> Steps:
        return _integrate(sums * unit, current, voltage, theta, lifted, bias)

    return Neurons(fire, current, voltage, theta, unit, feedback)


def readout(block: Any, fold: Fold, quantised: bool) -> Neurons:
    """An Affine block, which never spikes: its dynamics without a threshold, or a running sum."""
    neuron = block.neuron
    unit = float(neuron.s_scale)

    def accumulate(sums: Tensor) -> Steps:
        total = (sums * unit).cumsum(-1)
        return Steps(torch.zeros_like(total), total, total)

    def integrate_all(sums: Tensor) -> Steps:
        current, voltage = _dynamics(neuron, sums)
        voltage = voltage * (unit * 2.0**fold.exponent)
        return Steps(torch.zeros_like(voltage), current * unit, voltage)

    def float_all(sums: Tensor) -> Steps:
        return _integrate(
            sums * unit, held.kept_current, held.kept_voltage, float("inf"), None, lag
        )

    if not block.dynamics:
        theta = float(ACCUMULATOR_THRESHOLD << STATE_SHIFT)
        return Neurons(accumulate, torch.tensor(1.0), torch.tensor(0.0), theta, unit)
    lag = torch.tensor(0.0)
    if neuron.norm is not None:
        lag = _per_channel(block, -unit * neuron.norm.running_mean.detach().reshape(-1))
    decays = (neuron.cx_current_decay, neuron.cx_voltage_decay)
    if not quantised:
        decays = (neuron.current_decay.detach(), neuron.voltage_decay.detach())
    held = Neurons(
        integrate_all if quantised else float_all,
        _kept(block, decays[0]),
        _kept(block, decays[1]),
        float(THRESHOLD_MAX << STATE_SHIFT),
        unit,
    )
    return held


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


def _fire_recurrent(block: Any, sums: Tensor, feedback: Tensor, lifted: float) -> Steps:
    """Step by step from zero state, as lava-dl's `utils/recurrent.py`."""
    neuron, columns = block.neuron, []
    forget(block)
    spikes = torch.zeros_like(sums[..., 0])
    for step in range(sums.shape[-1]):
        given = (sums[..., step] + spikes @ feedback.t())[..., None]
        current, voltage = neuron.dynamics(given)
        if neuron.norm is not None:  # only where nothing of u is kept: u is what was given
            current = given
        spikes = neuron.spike(voltage)[..., 0]
        columns.append((spikes, current[..., 0] * float(neuron.s_scale), voltage[..., 0] * lifted))
    forget(block)
    return Steps(*(torch.stack(values, -1) for values in zip(*columns, strict=True)))


def _dynamics(neuron: Any, sums: Tensor) -> tuple[Tensor, Tensor]:
    """The current before any norm, and the voltage: `neuron/cuba.py` from zero state.

    lava-dl's CPU code lays decays along the last axis, its CUDA code (and the chip) along the
    channels: where there is one a channel, channels go last here.
    """
    integrator = import_slayer().neuron.dynamics.leaky_integrator.dynamics
    rounded = import_slayer().utils.quantize
    nothing = torch.zeros(1)

    def leak(values: Tensor, decay: Tensor, *threshold: float) -> Tensor:
        laid = values.movedim(1, -2)
        found = integrator(laid, rounded(decay), nothing, neuron.s_scale, *threshold)
        back: Tensor = found.movedim(-2, 1)
        return back

    current = leak(sums, neuron.current_decay)
    normed = current if neuron.norm is None else neuron.norm(current)
    threshold = [] if neuron.threshold is None else [neuron.threshold + neuron.threshold_eps]
    return current, leak(normed, neuron.voltage_decay, *threshold)


def _kept(block: Any, decay: Any) -> Tensor:
    """Fractions kept, one for the layer or one a channel, for decays that are 4096 at most."""
    kept: Tensor = 1 - torch.as_tensor(decay, dtype=torch.float32).reshape(-1) / DECAY_UNITY
    return _per_channel(block, kept)


def _per_channel(block: Any, values: Tensor) -> Tensor:
    """One number for the layer, or one a channel, laid out along a layer's first axis."""
    if len(values) == 1:
        return values[0]
    return values.reshape(-1, *(1 for _ in block.neuron.shape[1:]))


def _integrate(
    push: Tensor,
    kept_u: Tensor,
    kept_v: Tensor,
    theta: float,
    feedback: Tensor | None = None,
    bias: Tensor | float = 0.0,
) -> Steps:
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
