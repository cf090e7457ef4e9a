"""lava-dl's stock `cuba.Input`, where it is the chip's on-chip input layer after all.

It rounds x to 8 bits and adds it to u; the chip adds bias_mant = trunc(weight * x + bias) to v.
With a current decay of 1 u is nothing but the input of this step, and both give the same v where
the rounded input is a whole multiple of 1/64: that is looked up in the samples themselves.

Source: lava-dl 0.6.0, `lib/dl/slayer/block/base.py` (AbstractInput).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neurorobust.errors import BadInput
from neurorobust.fixedpoint import DECAY_UNITY
from neurorobust.networks.block_network import Shape
from neurorobust.networks.blocks import SpikeInput
from neurorobust.networks.input import InputBlock
from neurorobust.networks.spec import THRESHOLD_LIMIT


def chip_input(block: Any, shape: Shape, samples: Tensor | None) -> nn.Module:
    """Our own block that computes what the stock one does for these samples.

    Args:
        block: lava-dl's `cuba.Input`.
        shape: C, H, W.
        samples: float `[n, C, H, W]`, what the block is fed at every step; may be None only where
            it has no neurons and just tells a shape.

    Raises:
        BadInput: a current decay other than 1, something else that the chip's layer does not have,
            no samples, or one that lava-dl and the chip turn into different drive.
    """
    neuron = block.neuron
    if neuron is None:
        return SpikeInput(shape)
    where, instead = "block 0 (Input)", "use InputBlock of neurorobust.networks"
    if not neuron.shared_param or int(neuron.cx_current_decay) != DECAY_UNITY:
        held = float(neuron.current_decay.flatten()[0]) / DECAY_UNITY
        raise BadInput(
            f"{where}: current_decay {held:g}: lava-dl puts its input into u, the chip into v; "
            f"only 1 is the same: {instead}"
        )
    for name, present in (
        ("norm", neuron.norm is not None),
        ("graded_spike", neuron.graded_spike),
        ("persistent_state", neuron.persistent_state),
        (f"scale {neuron.w_scale}", neuron.w_scale != 64),
        (f"threshold {neuron.threshold:g}", neuron.threshold >= THRESHOLD_LIMIT),
    ):
        if present:
            raise BadInput(f"{where}: {name} is not the chip's input layer: {instead}")
    weight, bias = (
        default if held is None else int(block.pre_hook_fx(held.detach(), descale=True))
        for held, default in ((block.weight, 64), (block.bias, 0))
    )
    if samples is None:
        raise BadInput(
            f"{where}: it rounds its input to 8 bits, the chip its drive: give the samples that it "
            f"is fed (--samples), so that they can be seen to agree, or {instead}"
        )
    _check_grid(where, block, samples, shape, weight, bias)
    return InputBlock(
        shape, neuron.threshold, int(neuron.cx_voltage_decay) / DECAY_UNITY, weight, bias
    )


def _check_grid(
    where: str, block: Any, samples: Tensor, shape: Shape, weight: int, bias: int
) -> None:
    """The encoder's `trunc(weight * x + bias)` against lava-dl's own arithmetic."""
    if tuple(samples.shape[1:]) != shape or len(samples) == 0:
        raise BadInput(f"samples: shape {tuple(samples.shape)}, need [n, {shape}], n above 0")
    x = samples.detach().cpu()
    drive = np.trunc(weight * x.numpy().astype(np.float64) + bias)
    with torch.no_grad():
        z = block.pre_hook_fx(x.to(torch.float32))
        for held, combine in ((block.weight, torch.mul), (block.bias, torch.add)):
            z = z if held is None else combine(z, block.pre_hook_fx(held.detach().cpu()))
    theirs = (block.neuron.s_scale * z).to(torch.int64).numpy()
    wrong = np.argwhere(theirs != drive * 64)
    if len(wrong):
        value = float(x[tuple(wrong[0])])
        raise BadInput(
            f"{where}: input {value:g} is off its grid of 1/32: lava-dl adds "
            f"{theirs[tuple(wrong[0])] / 64:g}, the chip {drive[tuple(wrong[0])]:g} "
            f"({len(wrong)} of {x.numel()} values differ); use InputBlock of neurorobust.networks"
        )
