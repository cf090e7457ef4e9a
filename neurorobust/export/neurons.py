"""A CUBA neuron as what the file holds of it, and what of lava-dl's neuron it cannot hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from neurorobust.errors import BadInput, ModelFileError
from neurorobust.export.fold import Fold
from neurorobust.fixedpoint import DECAY_UNITY
from neurorobust.netx.model import IntArray, Neuron


def check_neuron(where: str, block: Any, recurrent: bool = False) -> None:
    """Refuse what NetX drops in silence or Lava computes another way.

    Args:
        where: what messages call the block.
        block: a block with neurons.
        recurrent: lava-dl's recurrent blocks keep their state; whoever runs them resets it.

    Raises:
        BadInput: naming the property and the remedy.
    """
    neuron = block.neuron
    kind = f"{type(neuron).__module__}.{type(neuron).__name__}"
    if not kind.endswith("slayer.neuron.cuba.Neuron"):
        raise BadInput(f"{where}: neuron {kind} is not computed here; use lava-dl's cuba.Neuron")
    if hasattr(neuron, "current_decay_min"):
        raise BadInput(
            f"{where}: its decays one a channel are drawn at the first forward pass: run the "
            "network once before it is exported"
        )
    drop = neuron.drop
    for name, present, remedy in (
        ("graded_spike", neuron.graded_spike, "NetX ignores it; build the block without it"),
        (
            "persistent_state",
            neuron.persistent_state and not recurrent,
            "every sample starts from zero here; build the block without it",
        ),
        (
            "dropout",
            drop is not None and not isinstance(drop, nn.Module),
            "it cannot be switched off; use slayer.neuron.Dropout",
        ),
        ("refractory delay", neuron.ref_delay != 1, "Lava ignores it; only 1 is the same"),
        ("bias", getattr(block, "bias", None) is not None, "use MeanOnlyBatchNorm for a bias"),
        (
            "threshold one a neuron",
            isinstance(neuron.threshold, torch.Tensor) and neuron.threshold.numel() > 1,
            "lava-dl has one for the block",
        ),
    ):
        if present:
            raise BadInput(f"{where}: {name} cannot be exported; {remedy}")


def decays(where: str, neuron: Any) -> tuple[IntArray, IntArray]:
    """`iDecay` and `vDecay`, one for the block or one a channel.

    Raises:
        ModelFileError: a decay that is not finite.
    """
    found = []
    for name, held in (("iDecay", neuron.current_decay), ("vDecay", neuron.voltage_decay)):
        if not bool(torch.isfinite(held).all()):
            raise ModelFileError(f"{where}: {name} is not finite")
    for name, values in (("iDecay", neuron.cx_current_decay), ("vDecay", neuron.cx_voltage_decay)):
        one = np.atleast_1d(np.asarray(values, dtype=np.int64))
        wrong = one[(one < 0) | (one > DECAY_UNITY)]
        if wrong.size:
            raise ModelFileError(f"{where}: {name} {wrong[0]} outside [0, {DECAY_UNITY}]")
        found.append(one)
    return found[0], found[1]


def spiking_neuron(where: str, block: Any, fold: Fold) -> Neuron:
    """The block's neuron, its norm's exponent folded into the threshold."""
    neuron = block.neuron
    threshold = fold.threshold(where, neuron.v_th_mant)
    return Neuron(*decays(where, neuron), np.array([threshold], dtype=np.int64))
