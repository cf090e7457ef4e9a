"""How many threads exact computation may use where torch itself is kept at one.

Sums of torch's floats depend on how many threads add them; the engine's do not. So an evaluation
keeps torch at one thread and lets what is exact go on with those that there were.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_allowed: ContextVar[int] = ContextVar("threads", default=1)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let exact computation use so many threads, for callers that keep torch itself at one."""
    token = _allowed.set(count)
    try:
        yield
    finally:
        _allowed.reset(token)


def allowed() -> int:
    """So many threads exact computation may use, even if torch uses fewer."""
    return _allowed.get()
