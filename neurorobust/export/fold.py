"""Batch norm as what the chip has: a bias into v, and a larger or smaller threshold.

lava-dl normalises the current: `v <- decay(v) + (u - mean) / 2^e`. The chip has no such division,
and NetX ignores the exponent that lava-dl writes for it. Everything times 2^e is the same rule:

    V <- decay(V) + u + (bias_mant << 6);  spike where V > round(vThMant * 2^e) << 6

with bias_mant = -(rounded running mean) in the file's units and e = ceil(log2(std)), clipped to
`weight_exp_bits`. V is 2^e times SLAYER's v, but for rounding: SLAYER cuts the quotient to whole
2^-12 and decays that, the chip decays V itself. `Fold.exact` says where nothing is rounded.

Source: lava-dl 0.6.0, `lib/dl/slayer/neuron/norm.py`; measured against Lava (docs/export.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from neurorobust.errors import BadInput, ModelFileError
from neurorobust.fixedpoint import DECAY_UNITY, STATE_SHIFT, THRESHOLD_MAX
from neurorobust.netx.model import IntArray

NORMS = ("MeanOnlyBatchNorm", "WgtScaleBatchNorm")


@dataclass(frozen=True)
class Fold:
    """What a norm becomes.

    Attributes:
        bias: int64 `[channels]` bias_mant, or None where it is all 0.
        exponent: the chip's v and threshold are SLAYER's times 2^exponent.
        exact: nothing is rounded: spikes are SLAYER's, and v is its exact multiple. So it is
            without an exponent; and with one where v does not decay (or keeps nothing) and either
            u does not (its sums are even, and divide) or the exponent is negative and the
            threshold divides.
    """

    bias: IntArray | None = None
    exponent: int = 0
    exact: bool = True

    def threshold(self, where: str, mantissa: int) -> int:
        """`vThMant` with the exponent folded in, rounded.

        Raises:
            ModelFileError: it does not fit the chip's 17 bits.
        """
        folded = round(mantissa * 2.0**self.exponent)
        if not 0 <= folded <= THRESHOLD_MAX:
            by = f" (folded by 2^{self.exponent})" if self.exponent else ""
            raise ModelFileError(f"{where}: vThMant {folded}{by} outside [0, {THRESHOLD_MAX}]")
        return folded


def fold(where: str, neuron: Any, channels: int) -> Fold:
    """The norm of a CUBA neuron, in evaluation mode, for so many channels.

    Raises:
        BadInput: another norm than lava-dl's two, or one that is not quantised.
        ModelFileError: running statistics that are not finite.
    """
    norm = neuron.norm
    if norm is None:
        return Fold()
    kind = type(norm).__name__
    if kind not in NORMS or not type(norm).__module__.endswith("slayer.neuron.norm"):
        raise BadInput(
            f"{where}: norm {kind} cannot be exported; known: {', '.join(NORMS)} of lava-dl"
        )
    statistics = [norm.running_mean] + ([norm.running_var] if hasattr(norm, "running_var") else [])
    for values in statistics:
        if not bool(torch.isfinite(values).all()):
            raise ModelFileError(f"{where}: norm {kind}: running statistics are not finite")
    mean = norm.running_mean.detach().reshape(-1)
    bias = -_mantissa(where, kind, neuron, mean)
    if len(bias) not in (1, channels):
        raise BadInput(f"{where}: norm {kind} holds {len(bias)} means for {channels} channels")
    exponent = 0
    if kind == "WgtScaleBatchNorm":
        limit = norm.weight_exp_bits
        exponent = int(norm.weight_exp.detach().clamp(-limit, limit))
    spread = np.broadcast_to(bias, (channels,)).copy() if bias.any() else None
    return Fold(spread, exponent, exponent == 0 or _exact(neuron, exponent))


def _exact(neuron: Any, exponent: int) -> bool:
    """See `Fold.exact`; lava-dl's weights and means are even, so u is a multiple of 2^7."""
    clean = [
        bool(np.isin(decay, (0, DECAY_UNITY)).all())
        for decay in (neuron.cx_current_decay, neuron.cx_voltage_decay)
    ]
    if exponent > 0:
        return all(clean) and exponent <= STATE_SHIFT + 1
    divides = neuron.threshold is not None and neuron.v_th_mant % (1 << -exponent) == 0
    return clean[1] and divides


def _mantissa(where: str, kind: str, neuron: Any, mean: torch.Tensor) -> IntArray:
    """The running mean as lava-dl rounds it when it runs, in the file's units."""
    hook = neuron.norm.pre_hook_fx
    try:
        held, used = hook(mean, descale=True), hook(mean)
    except TypeError as error:
        raise BadInput(f"{where}: norm {kind} is not quantised (pre_hook_fx)") from error
    if not torch.equal(held, used * neuron.w_scale) or not torch.equal(held, held.round()):
        raise BadInput(f"{where}: norm {kind}: pre_hook_fx does not round to the chip's biases")
    mantissa: IntArray = held.cpu().numpy().astype(np.int64)
    return mantissa
