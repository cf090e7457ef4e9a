"""Spikes times int8 weights through oneDNN, with int32 sums: VNNI where the CPU has it.

The operator is private to torch, so it is tried once a process on a small random case against
float32, and dropped where it is absent, different or slow.

Exact: the operator adds in int32, and returns float32, which holds the sum while sum |w| < 2^24.
CPUs without VNNI add two products in int16 first; with inputs of 0 and 1 these stay below 2^9.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurorobust.fixedpoint import IntArray

INT8 = np.iinfo(np.int8)
TRIAL = (192, 512, 512)  # rows, inputs, outputs: long enough to be timed, a millisecond in float32


@dataclass(frozen=True, eq=False)
class Int8Weights:
    """`[outputs, inputs]` weights as a sum of packed int8 matrices times a scale.

    Attributes:
        packed: oneDNN's layouts, one a part.
        scales: float32 `[outputs]`, all equal.
        zeros: int64 `[outputs]`.
    """

    packed: tuple[Tensor, ...]
    scales: Tensor
    zeros: Tensor


def split(weights: IntArray) -> tuple[list[IntArray], int] | None:
    """Matrices in [-128, 127] and a scale: their sum times it is `weights`; None if two do not do.

    Weights that do not fit are halved where all are even.
    """
    if _fits(weights):
        return [weights], 1
    if not np.any(weights % 2) and _fits(weights // 2):
        return [weights // 2], 2
    first = np.clip(weights, INT8.min, INT8.max)
    if _fits(weights - first):
        return [first, weights - first], 1
    return None


def pack(weights: IntArray) -> Int8Weights:
    """Pack `[outputs, inputs]` that `split` can bring into int8."""
    found = split(weights)
    assert found is not None
    parts, scale = found
    return pack_as([torch.tensor(part, dtype=torch.int8) for part in parts], float(scale))


def pack_as(parts: list[Tensor], scale: float) -> Int8Weights:
    """Pack int8 `[outputs, inputs]` whose sum is to be multiplied by a scale."""
    prepack, outputs = _operators().qlinear_prepack, len(parts[0])
    return Int8Weights(
        tuple(prepack(part, None) for part in parts),
        torch.full((outputs,), scale),
        torch.zeros(outputs, dtype=torch.int64),
    )


def int8_sums(weights: Int8Weights, rows: Tensor) -> Tensor:
    """uint8 0/1 `[rows, inputs]` -> fresh float32 `[rows, outputs]`."""
    total = _product(rows, weights.packed[0], weights.scales, weights.zeros)
    for part in weights.packed[1:]:
        total += _product(rows, part, weights.scales, weights.zeros)
    return total


def _product(rows: Tensor, packed: Tensor, scales: Tensor, zeros: Tensor) -> Tensor:
    operator = _operators().qlinear_pointwise
    result: Tensor = operator(
        rows, 1.0, 0, packed, scales, zeros, None, 1.0, 0, torch.float32, "none", [], ""
    )
    return result


def _operators() -> Any:
    return getattr(torch, "ops").onednn  # noqa: B009  (not in torch's stubs)


@functools.cache
def unusable() -> str:
    """Why the operator is not used in this process; empty where it is."""
    generator = np.random.default_rng(0)
    rows, inputs, outputs = TRIAL
    weights = generator.choice([INT8.min, -127, -1, 0, 1, INT8.max], (outputs, inputs))
    spikes = torch.from_numpy((generator.random((rows, inputs)) < 0.5).astype(np.uint8))
    spikes[0] = 1
    floats, matrix = spikes.float(), torch.tensor(weights, dtype=torch.float32)
    try:
        packed = pack(weights)
        sums = int8_sums(packed, spikes)
    except (AttributeError, RuntimeError, TypeError) as error:
        return f"no int8 operator ({type(error).__name__})"
    if sums.dtype != torch.float32 or not sums.equal(floats @ matrix.t()):
        return "the int8 operator is wrong here"
    ratio = _seconds(lambda: torch.mm(floats, matrix.t())) / _seconds(
        lambda: int8_sums(packed, spikes)
    )
    return "" if ratio > 1 else "the int8 operator is slower than float32 here"


def _seconds(work: Callable[[], object]) -> float:
    """The shortest of a few runs."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def _fits(weights: IntArray) -> bool:
    return bool(weights.min() >= INT8.min and weights.max() <= INT8.max)
