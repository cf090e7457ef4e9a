"""Weights of dense layers, packed so that a spike's row is gathered and added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neurorobust.backends.engine.intrinsics import uncounted
from neurorobust.backends.engine.layout import TILE, turn
from neurorobust.backends.engine.loops import Array, compiled
from neurorobust.backends.engine.row_adder import aligned
from neurorobust.fixedpoint import IntArray

COLUMNS, FEW = 256, 64  # outputs that are summed together; FEW where there are no more
QUAD = 4  # rows that may be added in int8 first
NARROW, WIDE = 127, 256  # the largest |w| in int8 and in int16


@dataclass(frozen=True, eq=False)
class EventWeights:
    """Dense weights for the gather.

    Attributes:
        blocks: int8 or int16 `[blocks of outputs, inputs, COLUMNS or FEW]`, 64-byte aligned,
            zero-padded.
        factor: the weights are `blocks * factor`.
        quads: four rows may be added in int8.
    """

    blocks: Array
    factor: float
    quads: bool


def block_columns(outputs: int) -> int:
    """Outputs that are summed together."""
    return COLUMNS if outputs > FEW else FEW


def fits(weights: IntArray) -> bool:
    """Whether the sums stay in int16."""
    return int(np.abs(weights).max()) <= WIDE


def pack(weights: IntArray) -> EventWeights:
    """Pack `[outputs, inputs]` that fits. Even weights are halved where int8 holds them then."""
    halved = int(np.abs(weights).max()) > NARROW and not np.any(weights % 2)
    stored = weights // 2 if halved else weights
    return pack_as(stored.astype(np.int16), 2.0 if halved else 1.0)


def pack_as(stored: Array, factor: float) -> EventWeights:
    """Pack int8 or int16 `[outputs, inputs]` that are to be multiplied by a factor."""
    largest = max(int(stored.max()), -int(stored.min()))
    narrow = largest <= NARROW
    outputs, inputs = stored.shape
    columns = block_columns(outputs)
    blocks = aligned((-(-outputs // columns), inputs, columns), np.int8 if narrow else np.int16)
    _fill(blocks, stored)
    quads = QUAD * largest <= NARROW
    if narrow and not quads:
        quads = _heaviest_quad(stored) <= NARROW
    return EventWeights(blocks, factor, quads)


@compiled
def _heaviest_quad(stored: Array) -> int:
    """The largest sum of an output's `QUAD` heaviest |w|."""
    largest: Any = 0
    for n in range(len(stored)):
        top = np.zeros(QUAD, dtype=np.int16)  # the lightest first
        for k in range(stored.shape[1]):
            size = abs(np.int16(stored[n, k]))
            if size > top[0]:
                place = 0
                while place + 1 < QUAD and size > top[place + 1]:
                    top[place] = top[place + 1]
                    place += 1
                top[place] = size
        largest = max(largest, np.int64(top.sum()))
    return int(largest)


@compiled
def _fill(blocks: Array, stored: Array) -> None:
    """Outputs next to each other, tile by tile; zeros behind the last."""
    blocks, stored = uncounted(blocks), uncounted(stored)
    count, inputs, columns = blocks.shape
    tile, bytes_ = 64, stored.itemsize == 1 and blocks.itemsize == 1
    for block in range(count):
        if bytes_ and inputs >= TILE and (block + 1) * columns <= len(stored):
            rows = stored[block * columns : (block + 1) * columns]
            for n in range(0, columns, TILE):
                for k in range(0, inputs, TILE):
                    turn(rows, blocks[block], n, min(k, inputs - TILE))
            continue
        for near in range(0, inputs, tile):
            for n in range(columns):
                output = block * columns + n
                for k in range(near, min(near + tile, inputs)):
                    blocks[block, k, n] = stored[output, k] if output < len(stored) else 0
