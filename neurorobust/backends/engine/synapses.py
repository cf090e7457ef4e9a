"""Synapses packed for the engine, each with the proof that its sums are exact.

A weighted sum of 0/1 spikes is exact in a floating type as long as every partial sum is an integer
that the type holds: sum |w| over one fan-in < 2^24 in float32, < 2^53 in float64. Weights have at
most 8 significant bits, so reduced-precision products (TF32, bfloat16) with a float32 sum are exact
too.

Columns of dense weights are put in H, W, C order, the order of neurons inside the engine.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from neurorobust.backends.engine import event_weights
from neurorobust.backends.engine.event_weights import EventWeights
from neurorobust.errors import ModelFileError
from neurorobust.fixedpoint import (
    STATE_LIMIT,
    WEIGHT_MIN,
    IntArray,
    PackedWeights,
    pack_dense_weights,
    pack_recurrent_weights,
)
from neurorobust.netx.model import ConvLayer, DenseLayer, Pair, RecurrentLayer, Shape

FLOAT32_EXACT = 1 << 24


@dataclass(frozen=True)
class Proof:
    """Why a synapse's sums are exact.

    Attributes:
        bound: the largest sum |w| over the fan-in of any output; no partial sum exceeds it.
        activation: no |a| that reaches a neuron exceeds it.
        dtype: the type the sums are taken in.
        reason: in words.
    """

    bound: int
    activation: int
    dtype: torch.dtype
    reason: str


@dataclass(frozen=True, eq=False)
class Dense:
    """`spikes @ weight.T`; the sum is shifted right by `shift` where it is integrated."""

    proof: Proof
    weight: Tensor
    shift: int

    @functools.cached_property
    def rounded(self) -> Tensor:
        """The weights in bfloat16, for the adjoint's products."""
        return self.weight.to(torch.bfloat16)

    def __str__(self) -> str:
        return f"{self.weight.shape[1]} inputs"


@dataclass(frozen=True, eq=False)
class Bucket:
    """The synapses of one delay: rows (outputs) and columns (inputs) that have any."""

    delay: int
    rows: Tensor
    columns: Tensor
    weight: Tensor


@dataclass(frozen=True, eq=False)
class DelayedDense:
    """One product a delay, each shifted right on its own before they are added, as Lava does."""

    proof: Proof
    buckets: tuple[Bucket, ...]
    inputs: int
    outputs: int
    bucket_shift: int
    shift = 0

    def __str__(self) -> str:
        return f"{self.inputs} inputs, {len(self.buckets)} delays"


@dataclass(frozen=True, eq=False)
class Feedback:
    """From a recurrent layer's spikes to its own sums of the next step.

    Attributes:
        proof: of its sums.
        event: what a spike adds, before the shift.
        weight: float32 `[to, from]`, the same for the adjoint.
        shift: of the sum, to the right.
    """

    proof: Proof
    event: EventWeights
    weight: Tensor
    shift: int


@dataclass(frozen=True, eq=False)
class Conv:
    """Cross-correlation of `source` into `target` (C, H, W).

    `weight` is `[groups, kernel H * kernel W * C / groups, C' / groups]`. `wraps` says that a sum
    can leave 24 bits and has to be wrapped.
    """

    proof: Proof
    weight: Tensor
    source: Shape
    target: Shape
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int
    wraps: bool
    shift = 0

    def __str__(self) -> str:
        height, width = self.kernel
        what = f"{self.weight.shape[1]} inputs ({height}x{width} kernel)"
        return what + (", wrapped" if self.wraps else "")


Synapse: TypeAlias = Dense | DelayedDense | Conv


def dense(layer: DenseLayer, source: Shape) -> Dense | DelayedDense:
    """Pack a dense layer whose inputs were flattened from the shape `source`.

    Where the shift drops no bit of any weight, the weights are shifted instead of the sums.

    Raises:
        ModelFileError: weights that Lava cannot pack.
    """
    try:
        packed = pack_dense_weights(layer.weight)
    except ModelFileError as error:
        raise ModelFileError(f"layer {layer.number} (dense): {error}") from None
    weights, shift = unshifted(packed)
    order = _order(source)
    weights = weights[:, order]
    if layer.delay is None:
        proof = _prove(weights, shift=shift)
        return Dense(proof, torch.tensor(weights, dtype=proof.dtype), shift)
    delays = layer.delay[:, order]
    used = np.unique(delays)
    proof = _prove(weights, shift=shift, parts=len(used))
    buckets = tuple(_bucket(weights, delays, int(delay), proof.dtype) for delay in used)
    return DelayedDense(proof, buckets, weights.shape[1], weights.shape[0], shift)


def recurrent(layer: RecurrentLayer, source: Shape) -> tuple[Dense, Feedback]:
    """Pack the two matrices of a recurrent layer whose inputs come from the shape `source`.

    Raises:
        ModelFileError: weights that Lava cannot pack.
    """
    try:
        forward, back = pack_recurrent_weights(layer.weight, layer.weight_rec)
    except ModelFileError as error:
        raise ModelFileError(f"layer {layer.number} (dense_rec): {error}") from None
    weights, shift = unshifted(forward)
    weights = weights[:, _order(source)]
    proof = _prove(weights, shift=shift)
    returned, back_shift = unshifted(back)
    again = _prove(returned, shift=back_shift)
    if again.dtype != torch.float32:
        raise ModelFileError(
            f"layer {layer.number} (dense_rec): weight_rec not summed here: {again.reason}"
        )
    return Dense(proof, torch.tensor(weights, dtype=proof.dtype), shift), Feedback(
        again,
        event_weights.pack(returned),
        torch.tensor(returned, dtype=torch.float32),
        back_shift,
    )


def unshifted(packed: PackedWeights) -> tuple[IntArray, int]:
    """Shifted weights instead of shifted sums, where that loses nothing."""
    if np.any(packed.weights % (1 << packed.shift)):
        return packed.weights, packed.shift
    return packed.weights >> packed.shift, 0


def _order(source: Shape) -> IntArray:
    """Where each input, in H, W, C order, stands in C, H, W order."""
    return np.arange(math.prod(source)).reshape(source).transpose(1, 2, 0).reshape(-1)


def conv(layer: ConvLayer, source: Shape) -> Conv:
    """Pack a conv layer that sees `source` (C, H, W)."""
    proof = _prove(layer.weight.reshape(len(layer.weight), -1))
    channels, inner, height, width = layer.weight.shape
    grouped = layer.weight.reshape(layer.groups, channels // layer.groups, inner, height, width)
    packed = grouped.transpose(0, 3, 4, 2, 1).reshape(layer.groups, height * width * inner, -1)
    return Conv(
        proof,
        torch.tensor(packed, dtype=proof.dtype),
        source,
        layer.shape,
        (height, width),
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.groups,
        wraps=proof.bound >= STATE_LIMIT,
    )


def _bucket(weights: IntArray, delays: IntArray, delay: int, dtype: torch.dtype) -> Bucket:
    chosen = delays == delay
    rows, columns = np.flatnonzero(chosen.any(1)), np.flatnonzero(chosen.any(0))
    part = np.where(chosen, weights, 0)[np.ix_(rows, columns)]
    return Bucket(
        delay, torch.from_numpy(rows), torch.from_numpy(columns), torch.tensor(part, dtype=dtype)
    )


def _prove(weights: IntArray, shift: int = 0, parts: int = 1) -> Proof:
    """Bound the sums of `[outputs, inputs]` and choose their type.

    Shifting `parts` sums right, each on its own, rounds each down by less than one.
    """
    bound = int(np.abs(weights).sum(axis=1).max())
    activation = (bound >> shift) + parts
    if int(np.abs(weights).max()) > -WEIGHT_MIN:
        return Proof(bound, activation, torch.float64, "a weight has more than 8 bits")
    if bound < FLOAT32_EXACT:
        return Proof(bound, activation, torch.float32, "sum |w| < 2^24")
    return Proof(bound, activation, torch.float64, "sum |w| >= 2^24")
