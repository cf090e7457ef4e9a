"""Several modes in turn, one gradient each."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from neurorobust.attacks.modes.base import Mode, Pass
from neurorobust.errors import BadInput
from neurorobust.surrogates import Backward


@dataclass(frozen=True)
class Rotation:
    """The next of several modes at every gradient; averaged draws share one.

    Our form of the mixture of surrogates inside one attack (MDSE; Xu et al., arXiv:2209.03358v4,
    who weigh the gradients of all at every step, at the cost of as many passes).

    Attributes:
        name: how records and the command line call it.
        modes: in their order.
    """

    name: str
    modes: tuple[Mode, ...]

    def __post_init__(self) -> None:
        if not self.modes:
            raise BadInput(f"{self.name}: no modes to take in turn")

    def start(self) -> RotationPass:
        """Begins with the first mode."""
        return RotationPass(tuple(mode.start() for mode in self.modes))


@dataclass
class RotationPass:
    """One attack call's place in the order."""

    passes: tuple[Pass, ...]
    gradients: int = 0

    @property
    def backward(self) -> Backward:
        """Of the mode whose turn it is."""
        return self._current.backward

    def begin(self, draw: int) -> None:
        """The first draw of a gradient moves on to the next mode."""
        self.gradients += draw == 0
        self._current.begin(draw)

    def keep(self, rows: Tensor) -> None:
        """Tells every mode."""
        for each in self.passes:
            each.keep(rows)

    @property
    def _current(self) -> Pass:
        return self.passes[max(0, self.gradients - 1) % len(self.passes)]
