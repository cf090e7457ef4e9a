"""Output spikes or membrane -> integers -> logits and a label.

`count`: the number of output spikes of each class. `membrane`: v of each class after the last step.
Tie rule: the lowest class index wins. Logits are the integers divided by a documented constant, so
that a cross-entropy of them is not saturated; it never changes a label:

    count      1 (one spike is one unit)
    membrane   127 * 2^6 * steps (one full-weight synapse, active at every step)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.errors import BadInput
from neurorobust.fixedpoint import STATE_SHIFT
from neurorobust.types import Labels, Logits, Run

KINDS = ("count", "membrane")


def default_scale(kind: str, steps: int) -> float:
    """The documented constant of a readout."""
    return 1.0 if kind == "count" else float((127 << STATE_SHIFT) * steps)


@dataclass(frozen=True)
class Readout:
    """Which integers are read, and by what they are divided."""

    kind: str
    scale: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadInput(f"readout: {self.kind!r} unknown, known: {', '.join(KINDS)}")
        if not self.scale > 0:
            raise BadInput(f"readout: logit scale {self.scale} not above 0")

    def integers(self, run: Run) -> Tensor:
        """`[batch, classes]`: int64 from `run`, floats with gradients from `forward`."""
        if self.kind == "membrane":
            return run.membrane if run.membrane.is_floating_point() else run.membrane.long()
        return run.spikes.sum(-1) if run.spikes.is_floating_point() else run.spikes.long().sum(-1)

    def logits(self, run: Run) -> Logits:
        """`integers / scale`, float64 from `run`."""
        integers = self.integers(run)
        return (integers if integers.is_floating_point() else integers.double()) / self.scale

    def labels(self, run: Run) -> Labels:
        """The class with the largest integer; the lowest index wins a tie."""
        return first_argmax(self.integers(run))


def first_argmax(scores: Tensor) -> Labels:
    """Index of the first maximum along the last axis (`torch.argmax` promises none of several)."""
    largest = scores == scores.amax(-1, keepdim=True)
    places = torch.arange(scores.shape[-1], device=scores.device).expand_as(scores)
    return torch.where(largest, places, scores.shape[-1]).amin(-1)
