"""A batch in parts, each on one thread: the same sums in the same order, however many threads.

How a batch is cut depends on its size alone. Inside a part torch and the compiled loops use one
thread, so that floats come out the same on one core and on many; what is summed over parts is
summed in their order.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from neurorobust.backends.engine import openmp
from neurorobust.backends.threads import allowed

PART_ENTRIES = 1 << 20  # of a part's widest tensor: 4 MiB in float32
HANDOVER = 5e-5  # seconds
MULTIPLE = 4  # of the number of parts, where there are several: even work for 2 and 4 threads

Result = TypeVar("Result")

_lock = threading.Lock()
_hurried: list[float] = []  # one entry a caller in `_quick_handover`: the interval before the first


def cut(batch: int, entries: int) -> list[slice]:
    """Parts of nearly equal size.

    Args:
        batch: number of samples.
        entries: of the widest tensor, a sample.
    """
    count = -(-batch // max(1, PART_ENTRIES // entries))
    if count > 1:
        count = -(-count // MULTIPLE) * MULTIPLE
    count = max(1, min(count, batch))
    edges = [batch * i // count for i in range(count + 1)]
    return [slice(edges[i], edges[i + 1]) for i in range(count)]


def available() -> int:
    """How many threads `each` would use; one inside a part."""
    return 1 if openmp.inside() else max(torch.get_num_threads(), allowed())


def each(work: Callable[[int], Result], count: int) -> list[Result]:
    """`work(0), work(1), ...`, without gradients, on as many threads as torch uses."""
    threads = available()
    if threads == 1 or not openmp.usable():
        return _alone(work, count)
    left, results = iter(range(count)), dict[int, Result]()

    def share() -> None:
        with torch.no_grad():
            for number in left:  # whichever thread is free takes the next part
                results[number] = work(number)

    with _quick_handover():
        openmp.run(share, max(2, min(threads, count)))  # alone, torch would not feel in a team
    return [results[number] for number in range(count)]


@contextmanager
def _quick_handover() -> Iterator[None]:
    """While it lasts, no thread keeps Python's lock from another for longer than `HANDOVER`.

    A part is hundreds of calls, and after each its thread asks for the lock. By default it may wait
    5 ms, longer than most calls take: two threads were no faster than one.
    """
    with _lock:
        if not _hurried:
            _hurried.append(sys.getswitchinterval())
            sys.setswitchinterval(min(HANDOVER, _hurried[0]))
        else:
            _hurried.append(_hurried[0])
    try:
        yield
    finally:
        with _lock:
            interval = _hurried.pop()
            if not _hurried:
                sys.setswitchinterval(interval)


def _alone(work: Callable[[int], Result], count: int) -> list[Result]:
    before = torch.get_num_threads()
    if before > 1 and not openmp.inside():
        torch.set_num_threads(1)
    try:
        with torch.no_grad():
            return [work(number) for number in range(count)]
    finally:
        if before > 1 and not openmp.inside():
            torch.set_num_threads(before)


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()
    if _hurried:
        sys.setswitchinterval(_hurried[0])
        _hurried.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork_in_child)
