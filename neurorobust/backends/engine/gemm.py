"""Weighted sums of spikes and their transposes; exact integers in floating types (see `synapses`).

Signals are 0/1 `[batch, time, neurons]` of any type, neurons in H, W, C order.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neurorobust.backends.engine.conv import conv_patches, conv_sums, transposed_conv_sums, wrapped
from neurorobust.backends.engine.int8 import int8_sums
from neurorobust.backends.engine.paths import Arithmetic
from neurorobust.backends.engine.synapses import Conv, DelayedDense, Dense, Synapse


def row_bytes(arithmetic: Arithmetic) -> int:
    """What one sample's step takes while its sums are computed: operands and sums."""
    synapse, size = arithmetic.synapse, arithmetic.synapse.proof.dtype.itemsize
    operand, result = (1, 4) if arithmetic.product == "int8" else (size, size)
    if isinstance(synapse, Conv):
        channels, height, width = synapse.target
        taken = height * width * synapse.groups * synapse.weight.shape[1] + _padded_size(synapse)
        return taken * operand + channels * height * width * (2 * result + 16 * synapse.wraps)
    if isinstance(synapse, DelayedDense):
        return 2 * (synapse.inputs + synapse.outputs) * size
    outputs, inputs = synapse.weight.shape
    return inputs * operand + 2 * outputs * result


def _padded_size(synapse: Conv) -> int:
    (channels, height, width), (top, left) = synapse.source, synapse.padding
    return 2 * channels * (height + 2 * top) * (width + 2 * left)


def sums(arithmetic: Arithmetic, spikes: Tensor) -> Tensor:
    """uint8 `[batch, time, inputs]` -> a fresh `[batch, time, outputs]` by the planned product."""
    synapse = arithmetic.synapse
    if arithmetic.product != "int8":
        return weighted_sums(synapse, spikes)
    weights = arithmetic.int8
    batch, steps, _ = spikes.shape
    if not isinstance(synapse, Conv):
        return int8_sums(weights, spikes.reshape(batch * steps, -1)).view(batch, steps, -1)
    flat = int8_sums(weights, conv_patches(synapse, spikes)).view(batch, steps, -1)
    return wrapped(flat) if synapse.wraps else flat


def weighted_sums(synapse: Synapse, spikes: Tensor) -> Tensor:
    """`[batch, time, inputs]` 0/1 -> a fresh `[batch, time, outputs]` in the synapse's type.

    What a dense synapse returns is still to be shifted right by `synapse.shift`.
    """
    batch, steps, _ = spikes.shape
    if isinstance(synapse, Dense):
        outputs = len(synapse.weight)
        rows = spikes.flatten(0, 1).to(synapse.weight.dtype)
        return torch.mm(rows, synapse.weight.t()).view(batch, steps, outputs)
    if isinstance(synapse, DelayedDense):
        return _delayed_sums(synapse, spikes)
    return conv_sums(synapse, spikes)


def transposed_sums(synapse: Synapse, gradient: Tensor) -> Tensor:
    """`[batch, time, outputs]` -> `[batch, time, inputs]`: the gradient of the sums' inputs.

    Straight through the wrap; a shift of its own (delays) counts as the factor 2^-shift.
    """
    batch, steps, _ = gradient.shape
    if isinstance(synapse, Dense):
        inputs = synapse.weight.shape[1]
        rows = gradient.flatten(0, 1).to(synapse.weight.dtype)
        return torch.mm(rows, synapse.weight).view(batch, steps, inputs).to(gradient.dtype)
    if isinstance(synapse, DelayedDense):
        return _delayed_transpose(synapse, gradient)
    return transposed_conv_sums(synapse, gradient)


def _delayed_sums(synapse: DelayedDense, spikes: Tensor) -> Tensor:
    batch, steps, _ = spikes.shape
    signal = spikes.to(synapse.proof.dtype)
    total = torch.zeros((batch, steps, synapse.outputs), dtype=synapse.proof.dtype)
    for bucket in synapse.buckets:
        if bucket.delay >= steps:
            continue
        seen = signal[:, : steps - bucket.delay].index_select(2, bucket.columns)
        part = torch.matmul(seen, bucket.weight.t())
        if synapse.bucket_shift:
            part = part.mul_(2.0**-synapse.bucket_shift).floor_()
        total[:, bucket.delay :].index_add_(2, bucket.rows, part)
    return total


def _delayed_transpose(synapse: DelayedDense, gradient: Tensor) -> Tensor:
    batch, steps, _ = gradient.shape
    signal = gradient.to(synapse.proof.dtype)
    total = torch.zeros((batch, steps, synapse.inputs), dtype=synapse.proof.dtype)
    for bucket in synapse.buckets:
        if bucket.delay >= steps:
            continue
        answered = signal[:, bucket.delay :].index_select(2, bucket.rows)
        part = torch.matmul(answered, bucket.weight).mul_(2.0**-synapse.bucket_shift)
        total[:, : steps - bucket.delay].index_add_(2, bucket.columns, part)
    return total.to(gradient.dtype)
