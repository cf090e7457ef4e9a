"""Turn after turn on what still stands, until the time is over."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from torch import Tensor

from searching.delta_loops import State, empty
from searching.delta_network import Net


class Search(Protocol):
    """One sample's search."""

    broken: bool
    energy: float
    moves: int

    def point(self) -> Tensor:
        """The best input so far."""
        ...

    def turn(self, state: State, number: int) -> None:
        """One more try."""
        ...


def search(
    net: Net,
    searches: Sequence[Search],
    between: Callable[[int], None],
    deadline: float,
    rounds: int | None,
    threads: int,
    told: Callable[[int], None],
) -> int:
    """Give every search turns until it has broken its sample or the time is over.

    Every third turn goes to the half that stands nearest to its border alone.

    Args:
        net: the network.
        searches: one a sample.
        between: run before each turn with its number.
        deadline: of `time.process_time`.
        rounds: turns at most; None: any number.
        threads: turns at a time.
        told: told the number of each turn that ended.

    Returns:
        turns.
    """
    states: queue.SimpleQueue[State] = queue.SimpleQueue()
    for _ in range(threads):
        states.put(empty(net))

    def one(sample: Search, number: int) -> None:
        if time.process_time() >= deadline:
            return
        state = states.get()
        try:
            sample.turn(state, number)
        finally:
            states.put(state)

    number = 0
    with ThreadPoolExecutor(threads) as pool:
        while time.process_time() < deadline and (rounds is None or number < rounds):
            standing = sorted((s for s in searches if not s.broken), key=lambda s: s.energy)
            if not standing:
                break
            between(number)
            chosen = standing[: -(-len(standing) // 2)] if number % 3 == 2 else standing
            list(pool.map(lambda sample, turn=number: one(sample, turn), chosen))
            told(number)
            number += 1
    return number
