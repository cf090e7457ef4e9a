"""Weighted sums of spikes and their transposes; exact integers in floating types (see `synapses`).

Signals are float32 `[batch, time, neurons]`, neurons in H, W, C order.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neurorobust.backends.engine.conv import conv_sums, transposed_conv_sums
from neurorobust.backends.engine.synapses import DelayedDense, Dense, Synapse


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
