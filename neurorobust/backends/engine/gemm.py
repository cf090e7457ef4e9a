"""Weighted sums of spikes and their transposes; exact integers in floating types (see `synapses`).

Signals are 0/1 `[batch, time, neurons]` of any type, neurons in H, W, C order.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from neurorobust.backends.engine import memory, patches
from neurorobust.backends.engine.arithmetic import Arithmetic
from neurorobust.backends.engine.conv import conv_sums, transposed_conv_sums, wrapped
from neurorobust.backends.engine.int8 import int8_sums
from neurorobust.backends.engine.loops import Array
from neurorobust.backends.engine.matmul import product
from neurorobust.backends.engine.synapses import Conv, DelayedDense, Dense, Synapse


def row_bytes(arithmetic: Arithmetic) -> int:
    """What one sample's step takes while its sums are computed: operands and sums."""
    synapse, size = arithmetic.synapse, arithmetic.synapse.proof.dtype.itemsize
    operand, result = (1, 4) if arithmetic.product == "int8" else (size, size)
    if isinstance(synapse, Conv) and arithmetic.product == "int8":
        return 2 * patches.frame_bytes(synapse) + patches.band_bytes(synapse)
    if isinstance(synapse, Conv):
        channels, height, width = synapse.target
        taken = height * width * synapse.groups * synapse.weight.shape[1]
        taken += 2 * patches.frame_bytes(synapse)
        return taken * size + channels * height * width * (2 * size + 16 * synapse.wraps)
    if isinstance(synapse, DelayedDense):
        return 2 * (synapse.inputs + synapse.outputs) * size
    outputs, inputs = synapse.weight.shape
    return inputs * operand + 2 * outputs * result


def sums(arithmetic: Arithmetic, spikes: Array) -> Iterator[tuple[int, Array]]:
    """Weighted sums by the planned product, a band of neurons at a time.

    Args:
        arithmetic: of the layer.
        spikes: uint8 `[batch, time, inputs]`.

    Yields:
        the first neuron, and contiguous `[batch, time, some neurons]` from there on.
    """
    synapse, (batch, steps, _) = arithmetic.synapse, spikes.shape
    if arithmetic.product != "int8":
        yield 0, weighted_sums(synapse, torch.from_numpy(spikes)).contiguous().numpy()
    elif not isinstance(synapse, Conv):
        rows = torch.from_numpy(spikes).reshape(batch * steps, -1)
        yield 0, int8_sums(arithmetic.int8, rows).view(batch, steps, -1).numpy()
    else:
        channels, height, width = synapse.target
        padded = patches.frames(synapse, spikes)
        band = max(1, memory.BLOCK_BYTES // (batch * steps * patches.band_bytes(synapse)))
        for first in range(0, height, band):
            seen = patches.patches(synapse, padded, first, min(first + band, height))
            flat = int8_sums(arithmetic.int8, seen).view(batch, steps, -1)
            flat = wrapped(flat) if synapse.wraps else flat
            yield first * width * channels, flat.numpy()


def weighted_sums(synapse: Synapse, spikes: Tensor) -> Tensor:
    """`[batch, time, inputs]` 0/1 -> a fresh `[batch, time, outputs]` in the synapse's type.

    What a dense synapse returns is still to be shifted right by `synapse.shift`.
    """
    batch, steps, _ = spikes.shape
    if isinstance(synapse, Dense):
        outputs = len(synapse.weight)
        rows = spikes.flatten(0, 1).to(synapse.weight.dtype)
        if rows.dtype == torch.float32:
            sums = product(rows, synapse.weight.t(), "float32")
        else:
            sums = torch.mm(rows, synapse.weight.t())
        return sums.view(batch, steps, outputs)
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
