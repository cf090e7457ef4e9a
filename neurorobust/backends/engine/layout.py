"""A caller's order, time last and neurons in C, H, W order, and the engine's, neurons last."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from torch import Tensor

from neurorobust.backends.engine.intrinsics import uncounted
from neurorobust.backends.engine.loops import Array, compiled
from neurorobust.netx.model import Shape

TILE = 16  # neurons and steps that are transposed in registers


def signals(values: Tensor) -> Tensor:
    """What the first layer is fed, in H, W, C order.

    Spikes `[batch, C, H, W, time]` become uint8 `[batch, time, neurons]`, drive `[batch, C, H, W]`
    float32 `[batch, neurons]`.
    """
    if values.dim() == 4:
        return values.to(torch.float32).permute(0, 2, 3, 1).contiguous().flatten(1)
    spikes = values.to(torch.uint8).contiguous()
    batch, channels, height, width, steps = spikes.shape
    neurons = channels * height * width
    reordered = channels > 1 and height * width > 1
    if reordered or min(neurons, steps) < TILE:
        return spikes.permute(0, 4, 2, 3, 1).contiguous().flatten(2)
    rows = np.empty((batch, steps, neurons), dtype=np.uint8)
    _transpose(spikes.view(batch, neurons, steps).numpy(), rows)
    return torch.from_numpy(rows)


def public(signal: Tensor, shape: Shape) -> Tensor:
    """`[batch, time, H * W * C]` -> `[batch, C * H * W, time]`."""
    channels, height, width = shape
    split = signal.reshape(*signal.shape[:2], height, width, channels)
    return split.permute(0, 4, 2, 3, 1).reshape(len(signal), -1, signal.shape[1])


def internal(signal: Tensor, shape: Shape) -> Tensor:
    """The way back from `public`."""
    split = signal.reshape(len(signal), *shape, signal.shape[-1])
    return split.permute(0, 4, 2, 3, 1).reshape(len(signal), signal.shape[-1], -1)


def _turn_tile(_: Any, given: Any, taken: Any, row: Any, column: Any) -> Any:
    """Bytes `[row : row + TILE, column : column + TILE]` of one array, turned, into the other."""

    def generate(context: Any, build: Any, signature: Any, arguments: Any) -> Any:
        number, tile = ir.IntType(64), ir.VectorType(ir.IntType(8), TILE)
        arrays = [
            context.make_array(kind)(context, build, array)
            for kind, array in zip(signature.args[:2], arguments[:2], strict=True)
        ]

        def spot(array: Any, row: Any, column: Any) -> Any:
            length = build.extract_value(array.shape, 1)
            place = build.add(build.mul(row, length), column)
            return build.bitcast(build.gep(array.data, [place]), tile.as_pointer())

        row, column = arguments[2:]
        lines = [
            build.load(spot(arrays[0], build.add(row, number(i)), column), align=1)
            for i in range(TILE)
        ]
        half, places = TILE // 2, ir.VectorType(ir.IntType(32), TILE)
        for _ in range(TILE.bit_length() - 1):  # each round lets line i meet line i + half
            lines = [
                build.shuffle_vector(
                    lines[i],
                    lines[i + half],
                    places([start + j // 2 + TILE * (j % 2) for j in range(TILE)]),
                )
                for i in range(half)
                for start in (0, half)
            ]
        for i, line in enumerate(lines):
            build.store(line, spot(arrays[1], build.add(column, number(i)), row), align=1)
        return context.get_dummy_value()

    return types.void(given, taken, types.int64, types.int64), generate


turn: Any = intrinsic(_turn_tile)


@compiled
def _transpose(given: Array, taken: Array) -> None:
    """Uint8 `[batch, neurons, time]` -> `[batch, time, neurons]`, both contiguous.

    Neither neurons nor time are fewer than `TILE`; the last tiles overlap those before them.
    """
    given, taken = uncounted(given), uncounted(taken)
    batch, neurons, steps = given.shape
    for b in range(batch):
        for column in range(0, steps, TILE):
            for row in range(0, neurons, TILE):
                turn(given[b], taken[b], min(row, neurons - TILE), min(column, steps - TILE))
