"""Weighted sums of spikes and their transposes; exact integers in floating types (see `synapses`).

Signals are float32 `[batch, time, neurons]`, neurons in H, W, C order.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.grad
from torch import Tensor

from neurorobust.backends.engine.synapses import DelayedDense, Dense, Synapse
from neurorobust.fixedpoint import STATE_LIMIT


def weighted_sums(synapse: Synapse, spikes: Tensor) -> Tensor:
    """`[batch, time, inputs]` 0/1 -> a fresh `[batch, time, outputs]` in the synapse's type.

    What a dense synapse returns is still to be shifted right by `synapse.shift`.
    """
    batch, steps, _ = spikes.shape
    if isinstance(synapse, Dense):
        rows = spikes.reshape(batch * steps, -1).to(synapse.weight.dtype)
        return torch.mm(rows, synapse.weight.t()).view(batch, steps, -1)
    if isinstance(synapse, DelayedDense):
        return _delayed_sums(synapse, spikes)
    frames = _frames(spikes, synapse.source).to(synapse.weight.dtype)
    with torch.backends.nnpack.flags(enabled=False):  # its transforms would round
        total = torch.nn.functional.conv2d(
            frames,
            synapse.weight,
            None,
            synapse.stride,
            synapse.padding,
            synapse.dilation,
            synapse.groups,
        )
    flat = total.permute(0, 2, 3, 1).reshape(batch, steps, -1)
    return _wrap_signed_24(flat) if synapse.wraps else flat


def transposed_sums(synapse: Synapse, gradient: Tensor) -> Tensor:
    """`[batch, time, outputs]` -> `[batch, time, inputs]`: the gradient of the sums' inputs.

    Straight through the wrap; a shift of its own (delays) counts as the factor 2^-shift.
    """
    batch, steps, _ = gradient.shape
    if isinstance(synapse, Dense):
        rows = gradient.reshape(batch * steps, -1).to(synapse.weight.dtype)
        return torch.mm(rows, synapse.weight).view(batch, steps, -1).to(gradient.dtype)
    if isinstance(synapse, DelayedDense):
        return _delayed_transpose(synapse, gradient)
    channels, height, width = synapse.source
    frames = _frames(gradient, synapse.target)
    input_gradient: Callable[..., Tensor] = torch.nn.grad.conv2d_input
    total = input_gradient(
        (batch * steps, channels, height, width),
        synapse.weight,
        frames.to(synapse.weight.dtype),
        synapse.stride,
        synapse.padding,
        synapse.dilation,
        synapse.groups,
    )
    return total.permute(0, 2, 3, 1).reshape(batch, steps, -1).to(gradient.dtype)


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


def _frames(signal: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """`[batch, time, H * W * C]` -> `[batch * time, C, H, W]` in channels-last memory, no copy."""
    channels, height, width = shape
    return signal.reshape(-1, height, width, channels).permute(0, 3, 1, 2)


def _wrap_signed_24(total: Tensor) -> Tensor:
    """Keep the low 24 bits, sign-extended; every step exact in float64."""
    wide = total.to(torch.float64)
    return wide - 2 * STATE_LIMIT * torch.floor((wide + STATE_LIMIT) / (2 * STATE_LIMIT))
