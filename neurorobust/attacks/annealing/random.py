"""Random numbers inside compiled loops: xorshift64* (Marsaglia, 2003; Vigna, 2016).

Of a state of their own: neither threads nor numba's global generator matter.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurorobust.backends.engine.loops import Array, compiled

TIMES = np.uint64(0x2545F4914F6CDD1D)


def seeded(seed: int) -> Array:
    """A state, uint64 `[1]`, never 0."""
    return np.array([seed * 2 + 1], np.uint64)


@compiled
def bits(state: Array) -> Any:
    """The next 64 bits."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return x * TIMES


@compiled
def uniform(state: Array) -> float:
    """A number in [0, 1)."""
    return float(bits(state) >> np.uint64(11)) * 2.0**-53


@compiled
def below(state: Array, count: int) -> int:
    """0 to count - 1."""
    return int(uniform(state) * count)


@compiled
def drawn(state: Array, cumulative: Array) -> int:
    """A place by its weight, of the cumulative sum of the weights."""
    place = np.searchsorted(cumulative, uniform(state) * cumulative[-1], side="right")
    return int(min(place, len(cumulative) - 1))
