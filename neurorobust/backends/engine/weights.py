"""Float master weights -> the integers of the `.net` file.

Weights are rounded to even integers in [-256, 254], SLAYER's convention (lava-dl 0.6.0,
`neuron/base.py: quantize_8bit`); biases to integers of 13 bits, the documented width of bias_mant.
"""

from __future__ import annotations

from torch import Tensor

from neurorobust.fixedpoint import BIAS_BITS, WEIGHT_MAX, WEIGHT_MIN

BIAS_MIN, BIAS_MAX = -(1 << (BIAS_BITS - 1)), (1 << (BIAS_BITS - 1)) - 1


def even_weights(master: Tensor) -> Tensor:
    """`2 * round(w / 2)`, ties to the even multiple, clipped to [-256, 254]; same type."""
    return master.detach().mul(0.5).round_().mul_(2).clamp_(WEIGHT_MIN, WEIGHT_MAX)


def whole_biases(master: Tensor) -> Tensor:
    """Rounded and clipped to 13 bits; same type."""
    return master.detach().round().clamp_(BIAS_MIN, BIAS_MAX)
