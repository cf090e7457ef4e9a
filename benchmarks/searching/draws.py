"""Random numbers for compiled loops, which have numpy's older generator only, one a thread."""

from __future__ import annotations

import numpy as np

from searching.delta_loops import compiled


@compiled
def start(seed):
    """Seed this thread's."""
    np.random.seed(seed)  # noqa: NPY002


@compiled
def uniform():
    """A number in [0, 1)."""
    return np.random.random()  # noqa: NPY002


@compiled
def below(count):
    """0 to count - 1."""
    return np.random.randint(count)  # noqa: NPY002


@compiled
def drawn(cumulative):
    """A place by its weight."""
    at = np.searchsorted(cumulative, uniform() * cumulative[-1], side="right")
    return min(at, len(cumulative) - 1)
