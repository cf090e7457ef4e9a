"""The neurons of lava-dl's blocks: its own integers with norms and readouts, or before rounding."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from neurorobust.backends.slayer.dynamics import Neurons, Steps, integrate_floats
from neurorobust.export.fold import Fold
from neurorobust.fixedpoint import (
    ACCUMULATOR_THRESHOLD,
    DECAY_UNITY,
    STATE_SHIFT,
    THRESHOLD_MAX,
)
from neurorobust.networks.blocks import forget, is_recurrent
from neurorobust.networks.lava_dl import import_slayer


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
    bias = _float_bias(block)

    def fire(sums: Tensor) -> Steps:
        return integrate_floats(sums * unit, current, voltage, theta, lifted, bias)

    return Neurons(fire, current, voltage, theta, unit, feedback)


def readout(block: Any, fold: Fold, quantised: bool) -> Neurons:
    """An Affine block, which never spikes: its dynamics without a threshold, or a running sum."""
    neuron = block.neuron
    unit = float(neuron.s_scale)
    if not block.dynamics:

        def accumulate(sums: Tensor) -> Steps:
            total = (sums * unit).cumsum(-1)
            return Steps(torch.zeros_like(total), total, total)

        theta = float(ACCUMULATOR_THRESHOLD << STATE_SHIFT)
        return Neurons(accumulate, torch.tensor(1.0), torch.tensor(0.0), theta, unit)
    decays = (neuron.cx_current_decay, neuron.cx_voltage_decay)
    if not quantised:
        decays = (neuron.current_decay.detach(), neuron.voltage_decay.detach())
    kept_u, kept_v = (_kept(block, decay) for decay in decays)

    def fire(sums: Tensor) -> Steps:
        if not quantised:
            bias = _float_bias(block)
            return integrate_floats(sums * unit, kept_u, kept_v, float("inf"), bias=bias)
        current, voltage = _dynamics(neuron, sums)
        lifted = voltage * (unit * 2.0**fold.exponent)
        return Steps(torch.zeros_like(lifted), current * unit, lifted)

    return Neurons(fire, kept_u, kept_v, float(THRESHOLD_MAX << STATE_SHIFT), unit)


def _float_bias(block: Any) -> Tensor:
    """What a norm adds to v in one step, not rounded; 0 without one."""
    norm = block.neuron.norm
    if norm is None:
        return torch.tensor(0.0)
    mean = norm.running_mean.detach().reshape(-1)
    return _per_channel(block, -float(block.neuron.s_scale) * mean)


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
