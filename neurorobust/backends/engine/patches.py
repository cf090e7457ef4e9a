"""What every output of a convolution sees, copied into rows for the int8 product.

Copies are 64 bytes wide and overrun: rows are written in the order of their addresses, so that the
next one covers what a copy wrote too far.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from torch import Tensor

from neurorobust.backends.engine.loops import Array, compiled
from neurorobust.backends.engine.synapses import Conv

SPAN = 64  # bytes a copy


def band_bytes(synapse: Conv) -> int:
    """Patches and float32 sums of one row of outputs, of one sample's step."""
    channels, _, width = synapse.target
    return width * (synapse.weight.shape[1] + 2 * 4 * channels)


def frame_bytes(synapse: Conv) -> int:
    """Of one sample's step with zeros around."""
    (channels, height, width), (top, left) = synapse.source, synapse.padding
    return channels * (height + 2 * top) * (width + 2 * left)


def frames(synapse: Conv, spikes: Array) -> Array:
    """uint8 `[batch, time, H * W * C]` -> `[batch * time, padded H, padded W * C]`, contiguous."""
    (channels, height, width), (top, left) = synapse.source, synapse.padding
    count = spikes.shape[0] * spikes.shape[1]
    inner = np.ascontiguousarray(spikes).reshape(count, height, width * channels)
    if (top, left) == (0, 0):
        return inner
    padded = np.zeros((count, height + 2 * top, (width + 2 * left) * channels), dtype=np.uint8)
    padded[:, top : top + height, left * channels : (left + width) * channels] = inner
    return padded


def patches(synapse: Conv, padded: Array, first: int, last: int) -> Tensor:
    """Rows `[frames * (last - first) * W', kernel H * kernel W * C]` of the outputs' rows."""
    channels, width = synapse.source[0], synapse.target[2]
    rows = np.empty(
        (len(padded), last - first, width, synapse.kernel[0], synapse.kernel[1] * channels),
        dtype=np.uint8,
    )
    runs, length = (1, rows.shape[4]) if synapse.dilation[1] == 1 else (synapse.kernel[1], channels)
    _copy_patches(padded, rows, first, *synapse.stride, *synapse.dilation, runs, length, channels)
    return torch.from_numpy(rows).view(-1, synapse.weight.shape[1])


def _copy_span(_: Any, target: Any, at: Any, source: Any, start: Any) -> Any:
    """Copy SPAN bytes between flat arrays."""

    def generate(context: Any, build: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(ir.IntType(8), SPAN)
        spots = [
            build.bitcast(
                build.gep(
                    context.make_array(signature.args[i])(context, build, arguments[i]).data,
                    [arguments[i + 1]],
                ),
                vector.as_pointer(),
            )
            for i in (0, 2)
        ]
        build.store(build.load(spots[1], align=1), spots[0], align=1)
        return context.get_dummy_value()

    return types.void(target, types.int64, source, types.int64), generate


_span: Any = intrinsic(_copy_span)


@compiled
def _copy_patches(
    padded: Array, rows: Array, first: int, down: int, right: int, lower: int, further: int,
    runs: int, length: int, channels: int,
) -> None:  # fmt: skip
    count, height, width, kernel, _ = rows.shape
    source, target = padded.reshape(-1), rows.reshape(-1)
    line, at = padded.shape[2], 0
    written = width * kernel * runs * length
    for frame in range(count):
        for y in range(height):
            top = (frame * padded.shape[1] + (first + y) * down) * line
            end = top + ((kernel - 1) * lower + 1) * line
            wide = end + SPAN <= source.size and at + written + SPAN <= target.size
            for x in range(width):
                for ky in range(kernel):
                    start = top + ky * lower * line + x * right * channels
                    for _ in range(runs):
                        if wide:
                            for i in range(0, length, SPAN):
                                _span(target, at + i, source, start + i)
                        else:
                            for i in range(length):
                                target[at + i] = source[start + i]
                        start += further * channels
                        at += length
