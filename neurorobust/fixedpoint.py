"""The chip's integer rules, as Lava's fixed-point models compute them; no other file knows them.

Source: lava-nc 0.10.0, `lava/proc/lif/models.py` (LIF), `lava/proc/dense/models.py` and
`lava/utils/weightutils.py` (weights), `lava/proc/conv/utils.py` (conv sums), lava-dl 0.6.0
`netx/hdf5.py`, `netx/utils.py`.
Where code and comment disagree there, the code counts; see docs/semantics.md.
Everything here is numpy and slow on purpose: it is the definition that fast code is tested against.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from neurorobust.errors import ModelFileError

IntArray: TypeAlias = npt.NDArray[np.integer[Any]]

DECAY_BITS = 12
DECAY_UNITY = 1 << DECAY_BITS  # a decay of 4096 forgets everything in one step
STATE_SHIFT = 6  # a_in, bias and threshold are MSB-aligned to u and v by this many bits
STATE_LIMIT = 1 << 23  # u and v are signed 24-bit variables
WEIGHT_MIN, WEIGHT_MAX = -256, 254  # mixed-sign weights in SLAYER's units (even, 8 bits and a sign)
DELAY_MAX = 62  # NetX clamps beyond it
THRESHOLD_MAX = (1 << 17) - 1  # vThMant on the chip; Lava's simulation does not check it
BIAS_BITS = 13  # documented width of bias_mant on the chip
ACCUMULATOR_THRESHOLD = 1 << 17  # lava-dl writes `1 << 18 - 1`, meant as (1 << 18) - 1
MAX_REAL_WEIGHT_BITS = 8
CONV_PARAMETER_MAX = 127  # Lava holds stride, padding, dilation, groups and kernel size in int8


def wrap_int32(value: IntArray) -> npt.NDArray[np.int64]:
    """Lava computes in int32, where sums beyond ±2^31 wrap; ordinary networks never get there."""
    return value.astype(np.int64).astype(np.int32).astype(np.int64)


def decay(state: IntArray, factor: IntArray | int) -> npt.NDArray[np.int64]:
    """`sign(x) * (|x| * (4096 - factor) >> 12)`: multiply by what is kept, round toward zero.

    Args:
        state: integers of any shape, |state| ≤ 2^31.
        factor: decay constant(s) in [0, 4096], broadcast against `state`.
    """
    x = state.astype(np.int64)
    product = np.abs(x) * (DECAY_UNITY - np.asarray(factor, dtype=np.int64))
    decayed: npt.NDArray[np.int64] = np.sign(x) * (product >> DECAY_BITS)
    return decayed


def wrap_current(current: IntArray) -> npt.NDArray[np.int64]:
    """Subtract or add 2^24 *once* where the current left (-2^23, 2^23].

    +2^23 itself stays, -2^23 becomes +2^23. A current beyond ±3·2^23 stays outside 24 bits.
    """
    out = current.astype(np.int64)
    high, low = out > STATE_LIMIT, out <= -STATE_LIMIT
    out[high] -= 2 * STATE_LIMIT
    out[low] += 2 * STATE_LIMIT
    return out


def clip_voltage(voltage: IntArray) -> npt.NDArray[np.int64]:
    """Saturate to ±(2^23 - 1)."""
    return np.clip(voltage.astype(np.int64), -STATE_LIMIT + 1, STATE_LIMIT - 1)


def cast_bias(bias: IntArray) -> npt.NDArray[np.int64]:
    """`bias_mant` is stored as int16 and wraps silently: 40000 becomes -25536."""
    return bias.astype(np.int64).astype(np.int16).astype(np.int64)


def lif_step(
    current: IntArray,
    voltage: IntArray,
    activation: IntArray,
    bias: IntArray | int,
    current_decay: IntArray | int,
    voltage_decay: IntArray | int,
    threshold: IntArray | int,
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """One step of a CUBA leaky integrate-and-fire neuron.

        u <- wrap(decay(u, iDecay) + (a << 6))
        v <- clip(decay(v, vDecay) + u + (bias << 6))
        s <- v > (vth << 6);  v <- 0 where s

    The two sums are int32 and wrap there before `wrap` and `clip` see them.

    Args:
        current: u before the step, one entry a neuron.
        voltage: v before the step.
        activation: the synapses' sum a, int32.
        bias: bias_mant after `cast_bias`.
        current_decay: iDecay in [0, 4096].
        voltage_decay: vDecay in [0, 4096].
        threshold: vThMant.

    Returns:
        spikes, u and v after the step (v already reset).
    """
    aligned = activation.astype(np.int64) << STATE_SHIFT
    u = wrap_current(wrap_int32(decay(current, current_decay) + aligned))
    lifted = np.asarray(bias, dtype=np.int64) << STATE_SHIFT
    v = clip_voltage(wrap_int32(decay(voltage, voltage_decay) + u + lifted))
    spikes = v > (np.asarray(threshold, dtype=np.int64) << STATE_SHIFT)
    return spikes, u, np.where(spikes, 0, v)


def wrap_signed_24(total: IntArray) -> npt.NDArray[np.int64]:
    """Conv sums keep their low 24 bits, sign-extended (`lava/proc/conv/utils.py: signed_clamp`)."""
    return ((total.astype(np.int64) + STATE_LIMIT) & (2 * STATE_LIMIT - 1)) - STATE_LIMIT


@dataclass(frozen=True)
class PackedWeights:
    """Dense weights as Lava's synapse holds them; the *sum* of `weights` is shifted right."""

    weights: npt.NDArray[np.int64]
    shift: int


def pack_dense_weights(weights: IntArray) -> PackedWeights:
    """What becomes of a dense matrix between file and synapse: scaled up, clipped, truncated.

    NetX scales the matrix up by a power of two to use all 8 bits (`netx/utils.py:
    optimize_weight_bits`). Its sign mode never reaches the Dense model, which finds one again by
    another rule (`max <= 0` for inhibitory instead of `max < 0`), clips and truncates. A matrix
    without positive weights can lose weights there (-128 becomes -127, some are cleared whole):
    that is computed, not mended.

    Args:
        weights: integers `[out, in]` as stored, in [-256, 254] (255 when no weight is negative).

    Raises:
        ModelFileError: an all-zero matrix (Lava divides by zero) or a weight out of range (Lava
            would lose it).
    """
    shift, weight_bits = _scaling(weights)
    scaled = weights.astype(np.int64) << shift
    return PackedWeights(_clip_and_truncate(scaled, weight_bits), shift)


def pack_recurrent_weights(
    weights: IntArray, recurrent: IntArray
) -> tuple[PackedWeights, PackedWeights]:
    """`pack_dense_weights` for the two matrices of a recurrent layer, `[out, in]`, `[out, out]`.

    NetX scales both by one power of two, found for the two side by side. Each Dense model then
    clips and truncates its own part by the sign mode of that part: a part of one sign whose scale
    and bits were found for two signs can lose a bit, or all of its weights.

    Raises:
        ModelFileError: both all zero, or a weight out of range.
    """
    shift, weight_bits = _scaling(np.hstack((weights, recurrent)))
    first, second = (
        PackedWeights(_clip_and_truncate(part.astype(np.int64) << shift, weight_bits), shift)
        for part in (weights, recurrent)
    )
    return first, second


def _scaling(weights: IntArray) -> tuple[int, int]:
    """NetX's `optimize_weight_bits`: the shift to the left, and `num_weight_bits`."""
    low, high = int(weights.min()), int(weights.max())
    if low == high == 0:
        raise ModelFileError("dense weights are all zero: Lava cannot scale such a matrix", "NX014")
    if low < WEIGHT_MIN or high > (WEIGHT_MAX if low < 0 else WEIGHT_MAX + 1):
        worst = low if low < WEIGHT_MIN else high
        raise ModelFileError(f"weight {worst} outside [{WEIGHT_MIN}, {WEIGHT_MAX}]", "NX012")
    mixed = low < 0 <= high
    if mixed:
        scale = min(127 / high if high else np.inf, -128 / low)
    else:
        scale = 255 / high if low >= 0 else -256 / low
    shift = int(np.floor(np.log2(scale))) + mixed
    used = int(np.bitwise_or.reduce(weights, axis=None))  # every bit that any weight has
    even_bits = next((n for n in range(MAX_REAL_WEIGHT_BITS, 0, -1) if used % (1 << n) == 0), 0)
    return shift, MAX_REAL_WEIGHT_BITS - shift - (even_bits - mixed)


def _clip_and_truncate(scaled: npt.NDArray[np.int64], weight_bits: int) -> npt.NDArray[np.int64]:
    """The Dense model's own pass over the scaled weights (`lava/utils/weightutils.py`)."""
    inhibitory = bool(scaled.min() < 0) and bool(scaled.max() <= 0)
    mixed = bool(scaled.min() < 0 < scaled.max())
    sign = -1 if inhibitory else 1
    clipped = np.clip(sign * scaled, -256 if mixed else 0, 255)
    dropped = MAX_REAL_WEIGHT_BITS - weight_bits + mixed
    if dropped < 0:  # C shifts by a negative count: numpy answers 0, and nothing is left
        return np.zeros_like(clipped)
    return sign * ((clipped >> dropped) << dropped)
