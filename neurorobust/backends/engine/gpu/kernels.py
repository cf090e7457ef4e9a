"""How triton kernels are compiled and launched. Only the files that hold kernels import this one.

With `TRITON_INTERPRET=1` in the environment before this file is imported, triton interprets them
on CPU tensors: that is how they are tested without a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar, cast

import torch
import triton

Function = TypeVar("Function", bound=Callable[..., Any])

BLOCK = 256  # neurons of one program: eight warps of four, or four of eight


def jitted(function: Function) -> Function:
    """`triton.jit`, typed."""
    return cast(Function, triton.jit(function))


def launch(kernel: Callable[..., None], entries: int, *args: Any, **constants: Any) -> None:
    """Run a kernel over so many entries, `BLOCK` of them a program, where its tensors are."""
    if entries == 0:
        return
    device = next(arg.device for arg in args if isinstance(arg, torch.Tensor))
    here = torch.cuda.device(device) if device.type == "cuda" else nullcontext()
    grid = (-(-entries // BLOCK),)
    with here:  # no fused multiply-add, which triton 3.9 would have its users decide on
        cast(Any, kernel)[grid](*args, **constants, BLOCK=BLOCK, enable_fp_fusion=False)
