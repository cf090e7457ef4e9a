"""Convolution on a GPU: int8 patches times int8 weights, exact; groups lie on a block diagonal.

No library convolution is asked: whether it takes TF32, Winograd or an FFT is its own choice.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from neurorobust.backends.engine.gpu.gemm import digits, float_product, product
from neurorobust.backends.engine.gpu.lif import Sums
from neurorobust.fixedpoint import STATE_LIMIT, IntArray
from neurorobust.netx.model import ConvLayer, Shape

PATCH_BYTES = 1 << 28  # of int8 patches at a time


class Conv:
    """Cross-correlation; sums keep their low 24 bits."""

    def __init__(self, layer: ConvLayer, source: Shape, device: torch.device) -> None:
        self._layer, self._source = layer, source
        self._kernel = layer.weight.shape[2:]
        self._weight = _flat(layer)
        self._digits = digits(self._weight, device)
        self._wraps = int(np.abs(self._weight).sum(axis=1).max()) >= STATE_LIMIT

    def __str__(self) -> str:
        """How it is summed."""
        return f"patches, {self._digits}" + (", wrapped to 24 bits" if self._wraps else "")

    def sums(self, spikes: Tensor) -> Sums:
        """See `Synapse.sums`."""
        batch, steps, _ = spikes.shape
        channels, height, width = self._source
        frames = spikes.reshape(batch * steps, height, width, channels)
        top, left = self._layer.padding
        frames = torch.nn.functional.pad(frames, (0, 0, left, left, top, top)).contiguous()
        outputs, tall, wide = self._layer.shape
        positions, row = tall * wide, self._digits.values.shape[1]
        total = torch.empty(
            (len(frames), positions, outputs), dtype=torch.int32, device=spikes.device
        )
        size = max(1, PATCH_BYTES // (positions * row))
        for first in range(0, len(frames), size):
            part = frames[first : first + size]
            found = product(self._digits, self._patches(part).view(-1, row))
            rows = total[first : first + size].view(-1, outputs)
            rows.copy_(found[:, :outputs])
        flat = total.view(batch, steps, positions * outputs)
        if not self._wraps:
            return Sums(flat, self._digits.exponent)
        lifted = (flat << self._digits.exponent) + STATE_LIMIT  # modulo 2^32
        return Sums((lifted & (2 * STATE_LIMIT - 1)) - STATE_LIMIT)

    def transposed(self, gradient: Tensor, precision: str) -> Tensor:
        """See `Synapse.transposed`; straight through the wrap."""
        batch, steps, _ = gradient.shape
        channels, height, width = self._source
        outputs, tall, wide = self._layer.shape
        frames = gradient.reshape(batch * steps, tall, wide, outputs)
        top, left = self._layer.padding
        padded = gradient.new_zeros((len(frames), height + 2 * top, width + 2 * left, channels))
        rows, columns = self._kernel
        weight = self._matrix.view(outputs, rows, columns, channels)
        for i in range(rows):
            for j in range(columns):
                spans = [
                    slice(start, start + (length - 1) * stride + 1, stride)
                    for start, length, stride in (
                        (i * self._layer.dilation[0], tall, self._layer.stride[0]),
                        (j * self._layer.dilation[1], wide, self._layer.stride[1]),
                    )
                ]
                part = float_product(frames, weight[:, i, j], precision)
                padded[:, spans[0], spans[1]] += part
        inner = padded[:, top : top + height, left : left + width]
        return inner.reshape(batch, steps, height * width * channels)

    @cached_property
    def _matrix(self) -> Tensor:
        weight = torch.from_numpy(self._weight.astype(np.float32))
        return weight.to(self._digits.values.device)

    def _patches(self, frames: Tensor) -> Tensor:
        """`[frames, H' * W', padded kernel H * kernel W * C]`, copied once."""
        channels, tall, wide = self._source[0], *self._layer.shape[1:]
        frame, row, column, _ = frames.stride()
        (down, right), (lower, further) = self._layer.stride, self._layer.dilation
        view = frames.as_strided(
            (len(frames), tall, wide, *self._kernel, channels),
            (frame, row * down, column * right, row * lower, column * further, 1),
            frames.storage_offset(),
        )
        inputs, padded = self._digits.inputs, self._digits.values.shape[1]
        patches = frames.new_zeros((len(frames), tall, wide, padded))
        patches[..., :inputs].view(view.shape).copy_(view)
        return patches.view(len(frames), tall * wide, padded)


def _flat(layer: ConvLayer) -> IntArray:
    """`[outputs, kernel H * kernel W * C]` with zeros between the groups."""
    outputs, inner, rows, columns = layer.weight.shape
    full = np.zeros((outputs, rows, columns, layer.groups, inner), dtype=np.int64)
    group = np.arange(outputs) // (outputs // layer.groups)
    full[np.arange(outputs), :, :, group] = layer.weight.transpose(0, 2, 3, 1)
    flat: IntArray = full.reshape(outputs, -1)
    return flat
