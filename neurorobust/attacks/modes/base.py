"""What a backward mode is: the derivative that an attack takes for the spike's.

A mode is a value; `start` gives the pass of one attack call, which may remember what it saw from
one gradient to the next (statistics of potentials) and is thrown away with the call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from neurorobust.surrogates import DEFAULT, Backward, Surrogate


class Pass(Protocol):
    """The backward pass of one attack call on one batch of samples.

    Attributes:
        backward: what the classifier differentiates with.
    """

    @property
    def backward(self) -> Backward:
        """See above."""
        ...

    def begin(self, draw: int) -> None:
        """A gradient is about to be computed, the `draw`-th (from 0) of those averaged."""
        ...

    def keep(self, rows: Tensor) -> None:
        """From now on only these samples (int64 indices, in this order) are in the batch."""
        ...


class Mode(Protocol):
    """A backward mode, a frozen value.

    Attributes:
        name: how records and the command line call it.
    """

    @property
    def name(self) -> str:
        """See above."""
        ...

    def start(self) -> Pass:
        """A fresh pass."""
        ...


@dataclass(frozen=True)
class Constant:
    """A mode that remembers nothing: its own pass."""

    name: str
    backward: Backward

    def start(self) -> Pass:
        """Itself."""
        return self

    def begin(self, draw: int) -> None:
        """Nothing to do."""

    def keep(self, rows: Tensor) -> None:
        """Nothing to do."""


def surrogate(shape: str, width: float) -> Constant:
    """The mode of one shape and width, `triangle-1`."""
    return Constant(f"{shape}-{width:g}", Surrogate(shape, width))


PLAIN = surrogate(DEFAULT.shape, DEFAULT.width)
