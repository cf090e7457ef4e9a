"""Compiled loops and the threads that run them.

numba's own threads are not used: they do not survive a fork, and one of its threading layers aborts
when two Python threads enter it. A child forked after this module was imported runs torch with one
thread, because torch would wait for threads that only its parent has.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, cast

import numba
import numpy.typing as npt
import torch

from neurorobust.backends.engine.batch_parts import available, each

Array: TypeAlias = npt.NDArray[Any]
Function = TypeVar("Function", bound=Callable[..., Any])
WORTH_A_THREAD = 1 << 17  # neuron-steps, about 50 microseconds


def compiled(function: Function) -> Function:
    """`numba.njit`, cached on disk; where no cache directory can be written, in memory alone."""
    return _jitted(function)


def inlined(function: Function) -> Function:
    """The same, compiled into its callers: a call hands over each array of a tuple on its own."""
    return _jitted(function, forceinline=True)


def _jitted(function: Function, forceinline: bool = False) -> Function:
    how: Any = {"nogil": True, "error_model": "numpy", "forceinline": forceinline}
    try:
        jitted = numba.njit(cache=True, **how)(function)
    except RuntimeError:  # numba: "no locator available"
        jitted = numba.njit(**how)(function)
    return cast(Function, jitted)


def _after_fork_in_child() -> None:
    """OpenMP's threads are gone in the child: go on with one, instead of waiting."""
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork_in_child)


def over_batch(work: Callable[[int, int], None], batch: int, amount: int) -> None:
    """Call `work(first, last)` over slices of the batch, which must not depend on each other.

    On as many threads as torch uses, where the amount (neuron-steps) is worth it; in each of
    several, torch uses one.
    """
    count = min(available(), batch, amount // WORTH_A_THREAD)
    if count <= 1:
        work(0, batch)
        return
    edges = [batch * i // count for i in range(count + 1)]
    each(lambda number: work(edges[number], edges[number + 1]), count)
