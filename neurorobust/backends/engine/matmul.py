"""Matrix products, in the precision that was asked for.

The forward pass takes float32 products of 0/1 spikes and integer weights here too; their sums stay
below 2^24 (see `synapses`), so that every order of summation gives the same integers.

float32: oneDNN's kernels where torch has them: 2 to 3 times as fast as MKL's on an AVX-512 AMD CPU,
as precise. bfloat16: both factors and the result are rounded to 8 bits, sums are taken in float32;
so is v - theta, where the backward mode asks for no v.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from neurorobust.errors import BadInput

PRECISIONS = ("float32", "bfloat16")
_OPERATORS: Any = torch._ops.ops
_WORTH_ONEDNN = 1 << 18  # multiplications


def check_precision(precision: str) -> None:
    """Refuse a precision that does not exist."""
    if precision not in PRECISIONS:
        raise BadInput(f"gradient: {precision!r} unknown, known: {', '.join(PRECISIONS)}")


def product(left: Tensor, right: Tensor, precision: str) -> Tensor:
    """`[m, k] @ [k, n]` -> float32 `[m, n]`; either may be a transposed view, of any real type."""
    return rounded_product(left, right, precision).to(torch.float32)


def rounded_product(left: Tensor, right: Tensor, precision: str) -> Tensor:
    """As `product`, but bfloat16 stays what it is."""
    if precision == "bfloat16":
        return torch.mm(left.to(torch.bfloat16), right.to(torch.bfloat16))
    left, right = left.to(torch.float32), right.to(torch.float32)
    size = left.shape[0] * left.shape[1] * right.shape[1]
    if left.device.type == "cpu" and size >= _WORTH_ONEDNN and has_onednn():
        return _onednn(left, right)
    return torch.mm(left, right)


@functools.cache
def has_onednn() -> bool:
    """Whether this torch has oneDNN's float32 product, and it is right."""
    mkldnn: Any = torch.backends.mkldnn
    if not mkldnn.is_available():
        return False
    generator = torch.Generator().manual_seed(0)
    left = torch.rand((33, 65), generator=generator)
    right = torch.rand((65, 17), generator=generator)
    wanted = left.double() @ right.double()
    spikes = (left < 0.5).to(torch.float32)
    weights = torch.randint(-256, 255, right.shape, generator=generator).to(torch.float32)
    try:
        found = (_onednn(left, right), _onednn(left.t().contiguous().t(), right))
        sums = _onednn(spikes, weights)
    except (AttributeError, RuntimeError):  # private to torch: absent or changed
        return False
    if not torch.equal(sums.double(), spikes.double() @ weights.double()):
        return False
    return all(bool(((f.double() - wanted).abs() <= 1e-4).all()) for f in found)


def _onednn(left: Tensor, right: Tensor) -> Tensor:
    result: Tensor = _OPERATORS.mkldnn._linear_pointwise(left, right.t(), None, "none", [], "")
    return result
