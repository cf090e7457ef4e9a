"""What a readout is: output spikes or membranes -> integers -> logits and a label."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:  # cards name readouts without torch
    from torch import Tensor

    from neurorobust.types import Labels, Run


class Decoding(ABC):
    """Which integers of a run are read, and all that varies with that.

    Attributes:
        name: on cards and the command line.
        spiking: whether the last layer needs neurons: one without them never spikes.
        coarse: whether the integers are counts of spikes: searches then look at the current that
            the output neurons received, too.
        membrane: whether the last membranes are read: then they are compared and shown with the
            spikes.
        words: "the class with the ... is the answer".
    """

    name: ClassVar[str]
    spiking: ClassVar[bool]
    coarse: ClassVar[bool]
    membrane: ClassVar[bool]
    words: ClassVar[str]

    @abstractmethod
    def integers(self, run: Run) -> Tensor:
        """`[batch, classes]`: int64 from `run`, floats with gradients from `forward`."""

    @abstractmethod
    def scale(self, steps: int) -> float:
        """By what the integers are divided where a card does not say."""

    def fine(self, run: Run) -> Tensor:
        """The integers as float64 `[batch, classes]`; what they call equal may be told apart."""
        return self.integers(run).double()


def first_argmax(scores: Tensor) -> Labels:
    """Index of the first maximum along the last axis (`torch.argmax` promises none of several)."""
    import torch

    largest = scores == scores.amax(-1, keepdim=True)
    places = torch.arange(scores.shape[-1], device=scores.device).expand_as(scores)
    return torch.where(largest, places, scores.shape[-1]).amin(-1)
