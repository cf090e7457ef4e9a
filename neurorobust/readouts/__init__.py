"""Output spikes or membrane -> integers -> logits and a label.

    count      the number of output spikes of each class
    membrane   v of each class after the last step

Tie rule: the lowest class index wins. Logits are the integers divided by a documented constant
(`Decoding.scale`), so that a cross-entropy of them is not saturated; it never changes a label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from neurorobust.errors import BadInput
from neurorobust.readouts.base import Decoding, first_argmax
from neurorobust.readouts.count import Count
from neurorobust.readouts.membrane import Membrane

if TYPE_CHECKING:
    from torch import Tensor

    from neurorobust.types import Labels, Logits, Run

_ALL: tuple[Decoding, ...] = (Count(), Membrane())
READOUTS: dict[str, Decoding] = {decoding.name: decoding for decoding in _ALL}


@dataclass(frozen=True)
class Readout:
    """Which integers are read, and by what they are divided.

    Attributes:
        kind: one of `READOUTS`.
        scale: above 0.
    """

    kind: str
    scale: float

    def __post_init__(self) -> None:
        if self.kind not in READOUTS:
            raise BadInput(f"readout: {self.kind!r} unknown, known: {', '.join(READOUTS)}")
        if not self.scale > 0:
            raise BadInput(f"readout: logit scale {self.scale} not above 0")

    @classmethod
    def of(cls, kind: str, steps: int, scale: float | None) -> Readout:
        """As a card says; without a scale the documented constant.

        Raises:
            BadInput: no such readout.
        """
        found = cls(kind, 1.0)
        return cls(kind, scale or found.decoding.scale(steps))

    @property
    def decoding(self) -> Decoding:
        """Which integers, and all that varies with it."""
        return READOUTS[self.kind]

    def integers(self, run: Run) -> Tensor:
        """`[batch, classes]`: int64 from `run`, floats with gradients from `forward`."""
        return self.decoding.integers(run)

    def logits(self, run: Run) -> Logits:
        """`integers / scale`, float64 from `run`."""
        integers = self.integers(run)
        return (integers if integers.is_floating_point() else integers.double()) / self.scale

    def labels(self, run: Run) -> Labels:
        """The class with the largest integer; the lowest index wins a tie."""
        return first_argmax(self.integers(run))


__all__ = ["READOUTS", "Decoding", "Readout", "first_argmax"]
