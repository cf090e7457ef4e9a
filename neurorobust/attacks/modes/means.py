"""Modes that go by firing rates instead of single steps: RGA, BPTR and HART."""

from __future__ import annotations

import torch
from torch import Tensor

from neurorobust.attacks.modes.base import Constant
from neurorobust.surrogates import BackwardMode, LayerView, Surrogate, fired

LOW_SLOPE = 0.2  # RGA's gamma: the derivative of the rate below the first spike, over 1 / theta
SATURATION = 2.0  # RGA's beta: the mean input, in thresholds, from which a neuron always spikes


def mean_push(view: LayerView) -> Tensor:
    """What a step adds to v, u + 64 bias, its mean over time, `[samples, neurons]`.

    Read off the trace: v[t] - kept * v[t - 1] (0 after a spike), summed over t.
    """
    kept, steps = view.kept[1], view.voltage.shape[1]
    earlier = (view.voltage[:, :-1] * (view.spikes[:, :-1] == 0)).sum(1)
    return (view.voltage.sum(1) - kept * earlier) / steps


def current_gain(view: LayerView) -> Tensor:
    """Mean over time of u for a constant input of 1 a step from rest, `[neurons]`; 1 if no u."""
    kept, steps = view.kept[0], view.voltage.shape[1]
    power, total = torch.ones_like(kept), torch.zeros_like(kept)
    gain = torch.zeros_like(kept)
    for _ in range(steps):
        total = total + power
        power = power * kept
        gain = gain + total
    return gain / steps


def rate_slope(view: LayerView) -> Tensor:
    """The derivative of a LIF neuron's rate by its mean input, piecewise linear (RGA).

    With x = mean push / theta and k the fraction of v that a step keeps, a neuron first spikes at
    x = 1 - k. There its rate is taken as gamma * (1 - k), and 1 at x = beta:

        gamma                                         0 <= x < 1 - k
        (1 - gamma * (1 - k)) / (beta - (1 - k))      1 - k <= x <= beta
        0                                             elsewhere

    over theta, times what a constant input gains in u on its way to v.
    """
    theta = view.theta.clamp_min(64)
    push, border = mean_push(view) / theta, 1 - view.kept[1]
    steep = (1 - LOW_SLOPE * border) / (SATURATION - border)
    slope = torch.where(push < border, LOW_SLOPE, steep)
    inside = (push >= 0) & (push <= SATURATION)
    return slope * inside * (current_gain(view) / theta)


def fired_slope(view: LayerView) -> Tensor:
    """1 / theta where a neuron spiked at all, times the gain of u, else 0 (BPTR)."""
    return fired(view)[:, 0] * (current_gain(view) / view.theta.clamp_min(64))


# Bu et al., "Rate gradient approximation attack threats deep spiking neural networks", CVPR 2023.
# Our form: theirs keeps v + (x - v) * tau with theta 1; here x is what reaches v in a step, leaks
# are (u, v)'s own, gamma is in units of 1 / theta, and u passes its mean gain.
RGA = Constant("rga", BackwardMode(rate=rate_slope))

# Ding et al., "SNN-RAT: robustness-enhanced spiking neural network through regularized adversarial
# training", NeurIPS 2022: backward is grad * 1[rate > 0]. Our form: over theta, times the gain
# of u.
BPTR = Constant("bptr", BackwardMode(rate=fired_slope))

# The same mask where time is kept: straight through the spike, back through the leaks of u and v.
# Our form; unlike the others here it also goes through recurrent layers.
BPTR_LEAKY = Constant("bptr-leaky", BackwardMode(Surrogate("straight-through", 1.0), scale=fired))


def averaged(width: float) -> Constant:
    """HART: triangle of this width, v's memory cut, the mean over time at each neuron's input.

    Hao et al., "Threaten spiking neural networks through combining rate and temporal information",
    ICLR 2024. They choose the width on test data; here it is the mode's parameter. Our form: the
    memory of u is cut as well (their neurons have none).
    """
    return Constant(f"hart-{width:g}", BackwardMode(Surrogate("triangle", width), averaged=True))
