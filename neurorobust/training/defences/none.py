"""No defence: the training samples as they are."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor, nn

from neurorobust.training.defences.base import Batch, Defence, Learner


@dataclass(frozen=True)
class NoDefence(Defence):
    """The cross-entropy of the output spike counts (one spike is one unit, as in `count`)."""

    name = "none"

    def loss(self, learner: Learner, batch: Batch, generator: Generator) -> Tensor:
        """See `Defence.loss`."""
        x, labels = batch
        return nn.functional.cross_entropy(learner.counts(x, generator), labels)
