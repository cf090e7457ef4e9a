"""The gradient of dense weights, gathered: each input's sum of the gradients where it spiked.

A product counts every input at every step; of sparse spikes, most of that is zeros.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from neurorobust.backends.engine import bfloat16
from neurorobust.backends.engine.event import list_ones
from neurorobust.backends.engine.intrinsics import uncounted
from neurorobust.backends.engine.loops import Array, compiled
from neurorobust.backends.engine.prefetch import prefetch
from neurorobust.backends.engine.row_adder import aligned, row_adder

WORTH_ROWS, WORTH_OUTPUTS = 64, 64
SPARSE = {"float32": 0.4, "bfloat16": 0.2}  # densities below which it beats the product
_COLUMNS, _ROWS = 128, 96  # gradients that are summed together: 48 KiB, the L1 cache
_SAMPLED = 64  # rows whose spikes are counted
_QUAD = 4
_AHEAD = 8  # rows of spikes that are asked for before they are read

_add_quads = row_adder(_QUAD, _COLUMNS)


def gathers(sums: Tensor, spikes: Tensor, precision: str) -> bool:
    """Whether `[rows, inputs]` spikes are sparse enough for `[rows, outputs]` gradients."""
    small = len(spikes) < WORTH_ROWS or sums.shape[1] < WORTH_OUTPUTS
    if spikes.dtype != torch.uint8 or small:
        return False
    some = spikes[:: len(spikes) // WORTH_ROWS][:_SAMPLED].numpy()
    return int(np.count_nonzero(some)) < int(SPARSE[precision] * some.size)


def gathered(sums: Tensor, spikes: Tensor) -> Tensor:
    """`sums.T @ spikes`, float32 `[outputs, inputs]`.

    Args:
        sums: float32 or bfloat16 `[rows, outputs]`.
        spikes: uint8 0/1 `[rows, inputs]`.
    """
    outputs, inputs = sums.shape[1], spikes.shape[1]
    total = aligned((inputs, -(-outputs // _COLUMNS) * _COLUMNS), np.float32)
    near = aligned((_ROWS + 1, _COLUMNS), np.float32)
    near[:] = 0
    active = np.empty(inputs + 1, dtype=np.uint32)
    listed = np.empty((inputs, _ROWS + _QUAD), dtype=np.uint8)
    counts = np.empty(inputs, dtype=np.int64)
    rows = spikes.contiguous().numpy()
    _gather(bfloat16.array(sums.contiguous()), rows, near, active, listed, counts, total)
    return torch.from_numpy(total)[:, :outputs].t()


@compiled
def _gather(
    sums: Array, spikes: Array, near: Array, active: Array, listed: Array, counts: Array,
    total: Array,
) -> None:  # fmt: skip
    """Where did each input spike, then its rows of `sums`; a block of rows and columns at a time.

    The block is copied to `near`, whose last row stays zero: it fills up lists of four. `active`
    uint32 `[inputs + 1]`, `listed` uint8 `[inputs, _ROWS + _QUAD]` and `counts` int64 `[inputs]`
    are scribbled on.
    """
    sums, spikes, near, total = (
        uncounted(sums),
        uncounted(spikes),
        uncounted(near),
        uncounted(total),
    )
    active, listed, counts = uncounted(active), uncounted(listed), uncounted(counts)
    rows, inputs = spikes.shape
    outputs = sums.shape[1]
    for start in range(0, rows, _ROWS):
        end = min(start + _ROWS, rows)
        counts[:] = 0
        for m in range(start, end):
            if m + _AHEAD < rows:
                prefetch(spikes[m + _AHEAD])
            prefetch(sums[m])  # read below, some columns at a time
            many = list_ones(spikes[m], active)
            for i in range(many):
                k = active[i]
                listed[k, counts[k]] = m - start
                counts[k] += 1
        for k in range(inputs):
            listed[k, counts[k] : counts[k] + _QUAD] = _ROWS
        for first in range(0, outputs, _COLUMNS):
            last = min(first + _COLUMNS, outputs)
            for m in range(start, end):
                for n in range(first, last):
                    near[m - start, n - first] = bfloat16.widened(sums[m, n])
            for k in range(inputs):
                into = total[k, first : first + _COLUMNS]
                if start == 0:
                    into[:] = 0
                _add_quads(near, listed[k], 0, counts[k] + _QUAD - 1, into)
