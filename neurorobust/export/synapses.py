"""Synapses -> integers: weights as lava-dl's own hook rounds them, delays in whole steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from neurorobust.errors import BadInput, ModelFileError
from neurorobust.fixedpoint import DELAY_MAX, WEIGHT_MAX, WEIGHT_MIN
from neurorobust.netx.model import IntArray, Pair


def weights(where: str, block: Any, synapse: Any, name: str = "weight") -> IntArray:
    """Rounded and scaled by lava-dl's own hook: int64 `[out, in, kH, kW, 1]`.

    Raises:
        BadInput: a complex synapse, or a hook that does not round as the file needs it.
        ModelFileError: a weight that is not finite or does not fit the chip.
    """
    if getattr(synapse, "complex", False):
        raise BadInput(f"{where}: complex weights are not computed here; use slayer.block.cuba")
    hook = synapse.pre_hook_fx
    if hook is None:
        raise BadInput(
            f"{where}: weights are not quantised (pre_hook_fx is None); "
            "train with pre_hook_fx=neuron.quantize_8bit, which is lava-dl's default"
        )
    raw = synapse.weight.detach()
    if not bool(torch.isfinite(raw).all()):
        worst = float(raw[~torch.isfinite(raw)][0])
        raise ModelFileError(f"{where}: {name} {worst} is not finite")
    try:
        held, used = hook(raw, descale=True), hook(raw)
    except TypeError as error:
        raise BadInput(
            f"{where}: weights are not quantised (pre_hook_fx takes no `descale`)"
        ) from error
    scaled = held.detach().cpu().numpy()
    wrong = scaled[(scaled < WEIGHT_MIN) | (scaled > WEIGHT_MAX) | (scaled != np.trunc(scaled))]
    if wrong.size:
        raise ModelFileError(
            f"{where}: {name} {wrong[0]:g} is no integer in [{WEIGHT_MIN}, {WEIGHT_MAX}]"
        )
    if not torch.equal(held, used * block.neuron.w_scale):
        raise BadInput(
            f"{where}: pre_hook_fx gives the file other weights than the forward pass uses"
        )
    weight: IntArray = scaled.astype(np.int64)
    return weight


def matrix(where: str, block: Any, synapse: Any, name: str = "weight") -> IntArray:
    """`weights` of a dense synapse, `[out, in]`."""
    weight = weights(where, block, synapse, name)
    if weight.shape[2:] != (1, 1, 1):
        raise BadInput(f"{where}: {name} {weight.shape} takes images, put a Flatten before it")
    return weight.reshape(weight.shape[:2])


def whole_delays(where: str, block: Any) -> IntArray | None:
    """Axonal delays in whole steps, rounded down, int64 `[out]`; None where there are none.

    Raises:
        BadInput: delays of another sampling time than one step.
        ModelFileError: a delay that is not finite or that NetX would clamp.
    """
    axon = block.delay
    if axon is None or not axon.init:  # lava-dl draws less than one step at the first forward pass
        return None
    if axon.sampling_time != 1:
        raise BadInput(f"{where}: delay has sampling_time {axon.sampling_time}, the chip's is 1")
    steps = axon.delay.detach().cpu().numpy()
    if not np.isfinite(steps).all():
        raise ModelFileError(f"{where}: delay {steps[~np.isfinite(steps)][0]} is not finite")
    wrong = steps[(steps < 0) | (steps >= DELAY_MAX + 1)]
    if wrong.size:
        raise ModelFileError(f"{where}: delay {wrong[0]:g} outside [0, {DELAY_MAX}]")
    return np.floor(steps).astype(np.int64) if np.any(steps >= 1) else None


def pair(sizes: tuple[int, ...]) -> Pair:
    """H and W of a synapse that also counts time."""
    return int(sizes[0]), int(sizes[1])
