"""PDSG: a surrogate whose width follows the spread of the membrane potentials in the batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from neurorobust.attacks.modes.base import Constant
from neurorobust.surrogates import BackwardMode, LayerView, Surrogate


def spread(view: LayerView) -> Tensor:
    """Standard deviation of v / theta over the samples, places and steps so far.

    Of each channel of a convolution; of a dense layer as a whole. Unbiased. 0 becomes 1.

    Returns:
        float32 `[1, time, H * W * C]`, or `[1, time, 1]` for a dense layer.
    """
    channels, height, width = view.shape
    scaled = view.voltage / view.theta.clamp_min(64)
    samples, steps = scaled.shape[:2]
    groups = channels if height * width > 1 else 1
    split = scaled.view(samples, steps, -1, groups)
    count = samples * split.shape[2]
    mean = split.mean((0, 2)).to(torch.float64)  # of each step, [time, groups]
    inner = (split - mean[:, None].to(torch.float32)).square_().sum((0, 2)).to(torch.float64)
    number = count * torch.arange(1, steps + 1, dtype=torch.float64, device=mean.device)[:, None]
    before = torch.cumsum(mean, 0) * count / number
    between = count * (torch.cumsum(mean.square(), 0)) - number * before.square()
    variance = (torch.cumsum(inner, 0) + between.clamp_min(0)) / (number - 1).clamp_min(1)
    sigma = variance.sqrt().to(torch.float32)
    sigma = torch.where(sigma == 0, 1.0, sigma)
    return sigma.repeat(1, height * width)[None] if groups > 1 else sigma[None]


def density(view: LayerView) -> Tensor:
    """The normal density N(sigma / 2, sigma^2) at (v - theta) / theta."""
    sigma = spread(view)
    x = view.distance().div_(sigma).sub_(0.5)
    return x.square_().mul_(-0.5).exp_().div_(sigma * math.sqrt(2 * math.pi))


# Lun et al., "Towards effective and sparse adversarial attack on spiking neural networks via
# breaking invisible surrogate gradients", CVPR 2025. Depends on the samples beside a sample.
PDSG = Constant(
    "pdsg",
    BackwardMode(Surrogate("straight-through", 1.0), scale=density, whole_batch=True),
)
