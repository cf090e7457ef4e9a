"""Sum pooling has no place on the chip: it becomes part of the synapses behind it, exactly.

Pooling spikes and weighting the sums is weighting every spike of the window alike: a strided conv
after it is one conv with every tap repeated over the window; a matrix after it, one with every
column repeated; neurons right after it, a grouped conv of ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from neurorobust.errors import ModelFileError
from neurorobust.netx.model import Pair, Shape
from neurorobust.nir.layers import Synapses


@dataclass(frozen=True)
class Pool:
    """A sum over windows; sizes are (H, W)."""

    name: str
    kernel: Pair
    stride: Pair
    padding: Pair

    def output(self, shape: Shape) -> Shape:
        """C, H, W of the sums."""
        rows, columns = (
            (size + 2 * padding - kernel) // stride + 1
            for size, kernel, stride, padding in zip(
                shape[1:], self.kernel, self.stride, self.padding, strict=True
            )
        )
        return shape[0], rows, columns


def pooling_layer(pool: Pool, channels: int) -> Synapses:
    """Sums with neurons right behind them: a grouped conv of ones."""
    weight = np.ones((channels, 1, *pool.kernel))
    return Synapses(
        pool.name, weight, np.zeros(channels), pool.stride, pool.padding, groups=channels
    )


def pooled_conv(conv: Synapses, pool: Pool, shape: Shape) -> Synapses:
    """A conv of the sums as a conv of the spikes; `shape` is C, H, W of the spikes.

    Raises:
        ModelFileError: the conv pads, and where it pads sums with zeros one conv would see spikes:
            windows that overlap or are cut at the border, or padded windows.
    """
    for axis, padding in enumerate(conv.padding):
        size, kernel, stride = shape[1 + axis], pool.kernel[axis], pool.stride[axis]
        beyond = pool.output(shape)[1 + axis] * stride
        if padding and (pool.padding[axis] or kernel > stride or beyond < size):
            raise ModelFileError(
                f"nodes {pool.name!a}, {conv.name!a}: windows of {kernel} every {stride} on {size} "
                f"under a padding of {padding} are not one conv"
            )
    taps = [
        (size - 1) * dilation * stride + kernel
        for size, dilation, stride, kernel in zip(
            conv.weight.shape[2:], conv.dilation, pool.stride, pool.kernel, strict=True
        )
    ]
    weight = np.zeros((*conv.weight.shape[:2], *taps))
    for row, column in np.ndindex(*conv.weight.shape[2:]):
        top = row * conv.dilation[0] * pool.stride[0]
        left = column * conv.dilation[1] * pool.stride[1]
        weight[:, :, top : top + pool.kernel[0], left : left + pool.kernel[1]] += conv.weight[
            :, :, row, column, None, None
        ]
    (high, wide), (down, right) = pool.stride, conv.stride
    return replace(
        conv,
        name=f"{pool.name}+{conv.name}",
        weight=weight,
        stride=(high * down, wide * right),
        padding=(
            pool.padding[0] + high * conv.padding[0],
            pool.padding[1] + wide * conv.padding[1],
        ),
        dilation=(1, 1),
    )


def pooled_dense(dense: Synapses, pool: Pool, shape: Shape) -> Synapses:
    """A matrix of the sums as a matrix of the spikes; `shape` is C, H, W of the spikes."""
    channels, rows, columns = pool.output(shape)
    maps = dense.weight.reshape(-1, channels, rows, columns)
    weight = np.zeros((len(maps), *shape))
    for row, column in np.ndindex(rows, columns):
        top = row * pool.stride[0] - pool.padding[0]
        left = column * pool.stride[1] - pool.padding[1]
        window = weight[
            :, :, max(top, 0) : top + pool.kernel[0], max(left, 0) : left + pool.kernel[1]
        ]
        window += maps[:, :, row, column, None, None]
    return replace(dense, name=f"{pool.name}+{dense.name}", weight=weight.reshape(len(maps), -1))
