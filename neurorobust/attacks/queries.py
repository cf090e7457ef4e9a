"""Queries: what an attack asks of a network, counted.

Whoever wants to know wraps the classifier:

    target = counted(classifier)
    proposal = attack(target, x, labels, budget, generator)
    target.tally.mean(len(x))      # queries a sample

It counts every row of every forward pass, gradients included (a gradient is one query), on any
backend, through every `replace` and `module()` that an attack makes of it. Attacks with a budget in
queries keep to it sample by sample (`oracle`); their counts per sample are `tally.samples`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from neurorobust.classifier import Classifier
from neurorobust.types import Logits, Run


@dataclass
class Tally:
    """What was asked.

    Attributes:
        forward: samples run without gradients.
        gradients: samples run with gradients.
        samples: int64 `[batch]`, queries of each sample, where the attack counts them so.
    """

    forward: int = 0
    gradients: int = 0
    samples: Tensor | None = None

    def mean(self, batch: int) -> float:
        """Queries a sample of a batch of so many."""
        return (self.forward + self.gradients) / max(batch, 1)


@dataclass(frozen=True)
class CountedClassifier(Classifier):
    """A classifier that counts.

    Attributes:
        tally: shared by every copy.
    """

    tally: Tally = field(default_factory=Tally)

    def run(self, x: Tensor, generator: torch.Generator | None = None) -> Run:
        """See `Classifier.run`."""
        self.tally.forward += len(x)
        return super().run(x, generator)

    def logits(self, x: Tensor, generator: torch.Generator | None = None) -> Logits:
        """See `Classifier.logits`."""
        if torch.is_grad_enabled() and x.requires_grad:
            self.tally.gradients += len(x)
        return super().logits(x, generator)


def counted(classifier: Classifier) -> CountedClassifier:
    """The same classifier, with a fresh tally."""
    parts = {part.name: getattr(classifier, part.name) for part in fields(Classifier)}
    return CountedClassifier(**parts)


def report(classifier: Classifier, samples: Tensor) -> None:
    """Tell a counting classifier how many queries each sample took; any other is not interested."""
    if isinstance(classifier, CountedClassifier):
        known = classifier.tally.samples
        classifier.tally.samples = samples.clone() if known is None else known + samples
