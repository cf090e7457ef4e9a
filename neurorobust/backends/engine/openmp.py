"""Python calls on torch's own OpenMP threads.

torch's OpenMP threads wait busily for some ten milliseconds after every operation they took part
in. A thread of ours beside them would share its core with one that waits; so the waiting thread
itself does our work. Inside a team of threads torch, oneDNN and MKL see that they are in a parallel
region, and each call stays on the thread that made it.

The two calls are what GCC makes of `#pragma omp parallel` (libgomp, "Implementing PARALLEL
construct"); LLVM's runtime has them too.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

_Work = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_member = threading.local()
_forked = False


def usable() -> bool:
    """Whether there are threads to call: torch has OpenMP, and this process is not a fork.

    In a fork OpenMP would wait for threads that only the parent has.
    """
    return not _forked and library() is not None


def _after_fork_in_child() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork_in_child)


def inside() -> bool:
    """Whether the caller is one of a team already."""
    return getattr(_member, "yes", False)


def run(share: Callable[[], None], count: int) -> None:
    """Call `share` on `count` threads, the calling one among them, and wait for all.

    Raises:
        BaseException: the first that a call raised.
    """
    raised: list[BaseException] = []

    def member(_: Any) -> None:
        _member.yes = True
        try:
            share()
        except BaseException as error:  # it must not leave through OpenMP
            raised.append(error)
        finally:
            _member.yes = False

    openmp, called = library(), _Work(member)
    assert openmp is not None
    openmp.GOMP_parallel_start(called, None, ctypes.c_uint(count))
    try:
        member(None)
    finally:
        openmp.GOMP_parallel_end()
    if raised:
        raise raised[0]


@functools.cache
def library() -> Any:
    """The OpenMP that torch was linked with; None where it has none of these calls."""
    for path in sorted((Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*")):
        try:
            found = ctypes.CDLL(str(path))  # loaded already: its names and those it depends on
            found.GOMP_parallel_start.restype = found.GOMP_parallel_end.restype = None
        except (AttributeError, OSError):
            continue
        return found
    return None
