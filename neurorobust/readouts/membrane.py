"""Membrane: v of each class after the last step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurorobust.readouts.base import Decoding

if TYPE_CHECKING:
    from torch import Tensor

    from neurorobust.types import Run


class Membrane(Decoding):
    """The unit is one synapse of full weight, active at every step."""

    name = "membrane"
    spiking = False
    coarse = False
    membrane = True
    words = "largest membrane at the end"

    def integers(self, run: Run) -> Tensor:
        """V after the last step."""
        return last_membrane(run)

    def scale(self, steps: int) -> float:
        """127 * 2^6 * steps."""
        from neurorobust.fixedpoint import STATE_SHIFT

        return float((127 << STATE_SHIFT) * steps)


def last_membrane(run: Run) -> Tensor:
    """int64 from `run`, floats with gradients from `forward`."""
    return run.membrane if run.membrane.is_floating_point() else run.membrane.long()
