"""The gradient of dense weights, gathered: each input's sum of the gradients where it spiked.

A product counts every input at every step; of sparse spikes, most of that is zeros.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from neurorobust.backends.engine.loops import Array, compiled

WORTH_ROWS = 64
SPARSE = {"float32": 0.2, "bfloat16": 0.1}  # densities below which it beats the product
_COLUMNS = 256  # gradients that are summed together: a part's stay in the L2 cache
_SAMPLED = 64  # rows whose spikes are counted


def gathers(spikes: Tensor, precision: str) -> bool:
    """Whether `[rows, inputs]` spikes are sparse enough."""
    if spikes.dtype != torch.uint8 or len(spikes) < WORTH_ROWS:
        return False
    some = spikes[:: len(spikes) // WORTH_ROWS][:_SAMPLED].numpy()
    return int(np.count_nonzero(some)) < int(SPARSE[precision] * some.size)


def gathered(sums: Tensor, spikes: Tensor) -> Tensor:
    """`sums.T @ spikes`, float32 `[outputs, inputs]`.

    Args:
        sums: float32 `[rows, outputs]`.
        spikes: uint8 0/1 `[rows, inputs]`.
    """
    total = torch.zeros((spikes.shape[1], sums.shape[1]), dtype=torch.float32)
    _gather(sums.contiguous().numpy(), spikes.contiguous().numpy(), total.numpy())
    return total.t()


@compiled
def _gather(sums: Array, spikes: Array, total: Array) -> None:
    """Where did each input spike, then its rows of `sums`, four at a time."""
    rows, inputs = spikes.shape
    outputs = sums.shape[1]
    active = np.empty(inputs + 1, dtype=np.int32)
    found = np.empty((inputs, rows), dtype=np.int32)
    counts = np.zeros(inputs, dtype=np.int32)
    for m in range(rows):
        many = 0
        for k in range(inputs):
            active[many] = k
            many += int(spikes[m, k])
        for i in range(many):
            k = active[i]
            found[k, counts[k]] = m
            counts[k] += 1
    for first in range(0, outputs, _COLUMNS):
        last = min(first + _COLUMNS, outputs)
        for k in range(inputs):
            into = total[k, first:last]
            fours = counts[k] // 4 * 4
            for i in range(0, fours, 4):
                a, b = sums[found[k, i], first:last], sums[found[k, i + 1], first:last]
                c, d = sums[found[k, i + 2], first:last], sums[found[k, i + 3], first:last]
                for n in range(len(into)):
                    into[n] += (a[n] + b[n]) + (c[n] + d[n])
            for i in range(fours, counts[k]):
                a = sums[found[k, i], first:last]
                for n in range(len(into)):
                    into[n] += a[n]
