"""Count: the number of output spikes of each class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurorobust.readouts.base import Decoding
from neurorobust.readouts.membrane import last_membrane

if TYPE_CHECKING:
    from torch import Tensor

    from neurorobust.types import Run

FINER = 2.0**32  # one spike is more than any membrane (24 bits)


class Count(Decoding):
    """One spike is one unit."""

    name = "count"
    spiking = True
    coarse = True
    membrane = False
    words = "most output spikes"

    def integers(self, run: Run) -> Tensor:
        """Spikes over time."""
        return run.spikes.sum(-1) if run.spikes.is_floating_point() else run.spikes.long().sum(-1)

    def scale(self, steps: int) -> float:
        """One spike."""
        del steps
        return 1.0

    def fine(self, run: Run) -> Tensor:
        """Counts tie often: the last membrane, on its way to the next spike, behind the point."""
        return self.integers(run).double() * FINER + last_membrane(run).double()
