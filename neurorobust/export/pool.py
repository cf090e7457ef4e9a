"""Pooling as a convolution with constant weights, which NetX can load.

lava-dl's Pool sums windows (weight_scale 1 / kernel^2: averages them) with one weight for all. It
pads the lower and right edge by `size % kernel` zeros, stacks the channels on top of each other and
convolves the stack; so its windows are a channel's own only under some strides and sizes. A grouped
convolution is made that has the same windows; both are run on the same integers, and where they
differ the block is refused.

Source: lava-dl 0.6.0, `lib/dl/slayer/synapse/layer.py` (Pool).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import torch
import torch.nn.functional as F

from neurorobust.errors import BadInput
from neurorobust.fixedpoint import CONV_PARAMETER_MAX
from neurorobust.netx.model import IntArray, Pair, Shape

_PROBE_LIMIT = 64  # random integers below it: every sum is exact in float32


@dataclass(frozen=True)
class PoolConv:
    """The convolution that pools.

    Attributes:
        weight: int64 `[channels, channels / groups, kH, kW]`, its own channel's entries alone.
    """

    weight: IntArray
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int


def pool_as_conv(where: str, block: Any, weight: IntArray, shape: Shape) -> PoolConv:
    """The same sums as lava-dl's Pool gives for inputs of this shape.

    Args:
        where: what messages call the block.
        block: lava-dl's Pool block.
        weight: its kernel as integers, `[1, 1, kH, kW]`.
        shape: C, H, W of what is pooled.

    Raises:
        BadInput: lava-dl's sums are no channel-wise pooling, or it cannot be a Lava convolution.
    """
    synapse, channels = block.synapse, shape[0]
    kernel, stride, padding, dilation = (
        (int(sizes[0]), int(sizes[1]))
        for sizes in (synapse.kernel_size, synapse.stride, synapse.padding, synapse.dilation)
    )
    edge = tuple(size % length for size, length in zip(shape[1:], kernel, strict=True))
    if any(more % step for more, step in zip(edge, dilation, strict=True)):
        _refuse(where, shape, f"dilation {dilation} and an edge of {edge} zeros")
    # zeros on one side only: pad both, and begin the kernel with zeros where they are not wanted
    lead = tuple(more // step for more, step in zip(edge, dilation, strict=True))
    window = np.pad(weight[0, 0], ((lead[0], 0), (lead[1], 0)))
    groups = max(n for n in range(1, min(channels, CONV_PARAMETER_MAX) + 1) if channels % n == 0)
    spread = np.zeros((channels, channels // groups, *window.shape), dtype=np.int64)
    for channel in range(channels):
        spread[channel, channel % (channels // groups)] = window
    found = PoolConv(spread, stride, (padding[0] + edge[0], padding[1] + edge[1]), dilation, groups)
    if not _same(synapse, block.neuron.w_scale, found, shape):
        _refuse(where, shape, f"kernel {kernel}, stride {stride}, padding {padding}")
    return found


def _same(synapse: Any, scale: int, conv: PoolConv, shape: Shape) -> bool:
    """Whether both give the same for random integers; they are linear, so chance does not hide."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(1, _PROBE_LIMIT, (2, *shape), generator=generator).to(torch.float32)
    with torch.no_grad():
        theirs = synapse(x[..., None])[..., 0] * scale
        ours = F.conv2d(
            x,
            torch.from_numpy(conv.weight).to(torch.float32),
            None,
            conv.stride,
            conv.padding,
            conv.dilation,
            conv.groups,
        )
    return torch.equal(theirs, ours)


def _refuse(where: str, shape: Shape, what: str) -> NoReturn:
    raise BadInput(
        f"{where}: {what} on shape {shape}: lava-dl's windows reach into the next channel, no "
        "convolution does that; train with a strided Conv block, or with stride = kernel that "
        "divides height and width"
    )
