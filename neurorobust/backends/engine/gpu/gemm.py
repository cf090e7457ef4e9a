"""Weighted sums on a GPU's int8 tensor cores: spikes int8, weights int8, sums int32, all exact.

Integer weights of any size are written in base 256 with digits in [-128, 127], after the power of
two that all of them share was taken out: w = 2^exponent * sum_k digit_k * 256^k. One digit is
enough for what SLAYER exports (even weights in [-256, 254]), two hold every dense weight. Each
digit's sum of n spikes is at most 128 n, so its int32 holds it for n < 2^24. The digits' sums are
put together modulo 2^32: that is the sum itself where it fits int32, as every dense sum here does
(`MOST_INPUTS`), and it has the low 24 bits that a convolution keeps.

No float is used forward, so neither TF32 nor reduced-precision accumulation can matter. Backward,
float32 products are taken with TF32 switched off.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from neurorobust.errors import ModelFileError
from neurorobust.fixedpoint import IntArray

MOST_INPUTS = 1 << 22  # of a neuron: as many weights of 2^8 sum to 2^30, feedback to 2^30 more
_TILE = 16  # int8 columns and rows: CUDA wants eights, its tensor cores 16 aligned bytes
_FEWEST_ROWS = 32  # of the left operand: CUDA wants more than 16


@dataclass(frozen=True, eq=False)
class Digits:
    """An integer matrix `[outputs, inputs]`.

    Attributes:
        values: int8 `[digits * padded outputs, padded inputs]`, zeros in the padding.
        count: digits.
        exponent: of the power of two that was taken out.
        outputs: rows.
        inputs: columns.
    """

    values: Tensor
    count: int
    exponent: int
    outputs: int
    inputs: int

    def __str__(self) -> str:
        """Why its sums are exact, in words."""
        return (
            f"{self.inputs} inputs, {self.count} int8 digit{'s' * (self.count > 1)} times"
            f" 2^{self.exponent}, a digit's sum at most 128 * {self.inputs} < 2^31"
        )

    @property
    def columns(self) -> int:
        """Columns of a product, padding included."""
        return self.values.shape[0] // self.count


def digits(weights: IntArray, device: torch.device) -> Digits:
    """Write integer weights `[outputs, inputs]` in digits.

    Raises:
        ModelFileError: more inputs than int32 sums are exact for.
    """
    outputs, inputs = weights.shape
    if inputs >= MOST_INPUTS:
        raise ModelFileError(f"{inputs} inputs of a neuron, limit on a GPU {MOST_INPUTS - 1}")
    union = int(np.bitwise_or.reduce(weights.astype(np.int64), axis=None))
    exponent = (union & -union).bit_length() - 1 if union else 0
    rest, found = weights.astype(np.int64) >> exponent, list[IntArray]()
    while not found or rest.any():
        low = ((rest + 128) & 255) - 128
        found.append(np.pad(low, ((0, -outputs % _TILE), (0, -inputs % _TILE))))
        rest = (rest - low) >> 8
    values = torch.from_numpy(np.concatenate(found).astype(np.int8)).to(device)
    return Digits(values, len(found), exponent, outputs, inputs)


def product(matrix: Digits, rows: Tensor) -> Tensor:
    """`[m, inputs or padded inputs]` 0/1 int8 -> int32 `[m, padded outputs]`, over 2^exponent."""
    count, given = rows.shape
    wide, tall = matrix.values.shape[1] - given, max(0, _FEWEST_ROWS - count)
    if wide or tall:
        rows = torch.nn.functional.pad(rows, (0, wide, 0, tall))
    if _has_int8(rows.device):
        sums = torch._int_mm(rows, matrix.values.t())
    else:  # at most 128 * 2^22 in every partial sum: exact in float64
        sums = torch.mm(rows.double(), matrix.values.t().double()).to(torch.int32)
    if tall:
        sums = sums[:count]
    if matrix.count == 1:
        return sums
    parts = sums.view(len(sums), matrix.count, matrix.columns)
    total = parts[:, 0].clone()
    for place in range(1, matrix.count):
        total += parts[:, place] << (8 * place)
    return total


@lru_cache
def _has_int8(device: torch.device) -> bool:
    """Whether int8 products are there and right: tried once on a device."""
    generator = np.random.default_rng(0)
    rows = torch.from_numpy(generator.integers(0, 2, (48, 80)).astype(np.int8))
    weights = torch.from_numpy(generator.integers(-128, 128, (32, 80)).astype(np.int8))
    weights[0] = -128
    rows[0] = 1
    try:
        got = torch._int_mm(rows.to(device), weights.to(device).t())
    except (AttributeError, NotImplementedError, RuntimeError):
        return False  # private to torch: absent, or not on this device; `arithmetic` says so
    wanted = rows.long() @ weights.long().t()
    return got.dtype == torch.int32 and torch.equal(got.cpu().long(), wanted)


def arithmetic(device: torch.device) -> str:
    """What sums are taken in on this device, in words."""
    return "int8 -> int32" if _has_int8(device) else "float64 (no int8 product on this device)"


def float_product(left: Tensor, right: Tensor, precision: str) -> Tensor:
    """`left @ right` float32, for gradients; `bfloat16` rounds factors and results to 8 bits."""
    if precision == "bfloat16":
        return torch.matmul(left.bfloat16(), right.bfloat16()).float()
    return torch.matmul(left, right)


@contextmanager
def full_float32() -> Iterator[None]:
    """Float32 products in float32 while the block runs: TF32 keeps 11 bits of a gradient.

    The switch is the process's; it is put back afterwards.
    """
    switch = torch.backends.cuda.matmul
    name, exact = ("fp32_precision", "ieee") if hasattr(switch, "fp32_precision") else _LEGACY
    before = getattr(switch, name)
    setattr(switch, name, exact)
    try:
        yield
    finally:
        setattr(switch, name, before)


_LEGACY: tuple[str, str | bool] = ("allow_tf32", False)
