"""Exact margins of many proposals: how far each is from being misclassified, ties resolved.

Searches that compare proposals need to tell apart what a readout calls equal
(`readouts.Decoding.fine`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.objectives import margin
from neurorobust.attacks.queries import report
from neurorobust.classifier import Classifier
from neurorobust.readouts import first_argmax
from neurorobust.types import Labels


@dataclass
class Exact:
    """Questions about one batch of samples. Uses no gradient: it runs on any backend.

    Attributes:
        classifier: the target.
        labels: true classes.
        generator: feeds a random encoder.
        draws: runs averaged in each answer where the encoder is random.
    """

    classifier: Classifier
    labels: Labels
    generator: torch.Generator
    draws: int = 1

    def __post_init__(self) -> None:
        self.used = torch.zeros_like(self.labels)
        self.draws = self.draws if self.classifier.encoder.random else 1

    def __call__(self, x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """How proposals stand.

        Args:
            x: `[n, C, H, W]`.
            rows: int64 `[n]`, the sample that each is of; any number of each.

        Returns:
            share of the runs that were misclassified, and the mean of the finer margin (float64):
            above 0, or 0 and of a lower class than the label's, where it is misclassified.
        """
        self.used += self.draws * torch.bincount(rows, minlength=len(self.used))
        wrong = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        score = torch.zeros_like(wrong)
        for _ in range(self.draws):
            place = 0
            for part in torch.split(x, self.classifier.backend.query_batch):
                here = slice(place, place + len(part))
                own = self.labels[rows[here]]
                run = self.classifier.run(part, self.generator)
                answers = first_argmax(self.classifier.readout.integers(run))
                wrong[here] += (answers != own).double() / self.draws
                score[here] += margin(self.classifier.readout.decoding.fine(run), own) / self.draws
                place += len(part)
        return wrong, score

    def report(self) -> None:
        """Tell a counting classifier what each sample took."""
        report(self.classifier, self.used)
