"""Convolution as patches times weights, in blocks that stay in the cache.

Not `torch.nn.functional.conv2d`: on channels-last tensors, the order of neurons here, its oneDNN
kernels cannot be trusted with exact integers. Seen in torch 2.3.1 and 2.13 on an AVX-512 CPU: one
input channel (whose stride is then 1) and a stride along W larger than along H give wrong sums, for
instance a 3x3 kernel, stride (1, 2), padding (2, 0), on 3x4 pixels; and in 2.3.1 some grouped
kernels on padded 1x1 inputs crash the process.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from neurorobust.backends.engine.synapses import Conv
from neurorobust.fixedpoint import STATE_LIMIT

BLOCK_ENTRIES = 1 << 18  # of the patches; 1 MiB in float32


def conv_sums(synapse: Conv, spikes: Tensor) -> Tensor:
    """`[batch, time, H * W * C]` -> a fresh `[batch, time, H' * W' * C']` of wrapped sums."""
    batch, steps, _ = spikes.shape
    channels, height, width = synapse.target
    frames = _padded(synapse, spikes)
    total = torch.empty((len(frames), height * width, channels), dtype=frames.dtype)
    for block in _blocks(synapse, len(frames)):
        # [groups, positions, kernel * C / groups] @ [groups, kernel * C / groups, C' / groups]
        patches = _patches(synapse, frames[block]).permute(5, 0, 1, 2, 3, 4, 6)
        patches = patches.reshape(synapse.groups, -1, synapse.weight.shape[1])
        rows = total[block].view(patches.shape[1], channels)
        if synapse.groups == 1:
            torch.mm(patches[0], synapse.weight[0], out=rows)
        else:
            rows.view(-1, synapse.groups, channels // synapse.groups).copy_(
                torch.bmm(patches, synapse.weight).transpose(0, 1)
            )
    flat = total.view(batch, steps, height * width * channels)
    return wrapped(flat) if synapse.wraps else flat


def transposed_conv_sums(synapse: Conv, gradient: Tensor) -> Tensor:
    """`[batch, time, H' * W' * C']` -> `[batch, time, H * W * C]`; straight through the wrap."""
    batch, steps, _ = gradient.shape
    channels, height, width = synapse.source
    frames = gradient.to(synapse.weight.dtype).flatten(0, 1)
    top, left = synapse.padding
    padded = torch.zeros(
        (len(frames), height + 2 * top, width + 2 * left, channels), dtype=frames.dtype
    )
    for block in _blocks(synapse, len(frames)):
        rows = frames[block].reshape(-1, synapse.groups, synapse.target[0] // synapse.groups)
        patches = torch.matmul(rows.transpose(0, 1), synapse.weight.transpose(1, 2))
        _scatter(synapse, patches, padded[block])
    inner = padded[:, top : top + height, left : left + width]
    return inner.reshape(batch, steps, height * width * channels).to(gradient.dtype)


def _scatter(synapse: Conv, patches: Tensor, padded: Tensor) -> None:
    """Add `[groups, positions, kernel * C / groups]` back to where `_patches` took it from."""
    _, height, width = synapse.target
    rows, columns = synapse.kernel
    count, channels = len(padded), synapse.source[0]
    split = patches.view(
        synapse.groups, count, height, width, rows, columns, channels // synapse.groups
    )
    for i in range(rows):
        for j in range(columns):
            spans = [
                slice(start, start + (length - 1) * stride + 1, stride)
                for start, length, stride in (
                    (i * synapse.dilation[0], height, synapse.stride[0]),
                    (j * synapse.dilation[1], width, synapse.stride[1]),
                )
            ]
            seen = padded[:, spans[0], spans[1]].view(
                count, height, width, synapse.groups, channels // synapse.groups
            )
            seen += split[:, :, :, :, i, j].permute(1, 2, 3, 0, 4)


def _padded(synapse: Conv, spikes: Tensor) -> Tensor:
    """`[batch * time, H, W, C]` with zeros around, in the type of the sums."""
    channels, height, width = synapse.source
    frames = spikes.to(synapse.weight.dtype).flatten(0, 1)
    frames = frames.view(len(frames), height, width, channels)
    top, left = synapse.padding
    return torch.nn.functional.pad(frames, (0, 0, left, left, top, top)).contiguous()


def _patches(synapse: Conv, frames: Tensor) -> Tensor:
    """A view `[frames, H', W', kernel H, kernel W, groups, C / groups]`; copies nothing."""
    channels, height, width = synapse.source[0], *synapse.target[1:]
    inner = channels // synapse.groups
    frame, row, column, _ = frames.stride()
    (down, right), (lower, further) = synapse.stride, synapse.dilation
    return frames.as_strided(
        (len(frames), height, width, *synapse.kernel, synapse.groups, inner),
        (frame, row * down, column * right, row * lower, column * further, inner, 1),
    )


def _blocks(synapse: Conv, frames: int) -> Iterator[slice]:
    _, height, width = synapse.target
    entries = height * width * synapse.groups * synapse.weight.shape[1]
    size = max(1, BLOCK_ENTRIES // entries)
    return (slice(first, first + size) for first in range(0, frames, size))


def wrapped(total: Tensor) -> Tensor:
    """Keep the low 24 bits, sign-extended; every step exact in float64."""
    wide = total.to(torch.float64)
    return wide - 2 * STATE_LIMIT * torch.floor((wide + STATE_LIMIT) / (2 * STATE_LIMIT))
