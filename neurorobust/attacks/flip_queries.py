"""Queries of a network on proposed flips: many at once, in pieces that fit into memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks import objectives
from neurorobust.attacks.best import Standing
from neurorobust.classifier import Classifier
from neurorobust.types import Labels

PIECE = 256  # samples a query; on any backend the answers do not depend on it


@dataclass
class FlipQueries:
    """How flips of one batch stand. Uses no gradient: it runs on any backend.

    Attributes:
        classifier: the target; its logits are taken as the readout's integers.
        x: spikes uint8 `[batch, C, H, W, time]` that are flipped.
        labels: true classes.
        generator: feeds a random encoder.
    """

    classifier: Classifier
    x: Tensor
    labels: Labels
    generator: torch.Generator

    def __post_init__(self) -> None:
        self.classifier = objectives.unscaled(self.classifier)
        self.asked = torch.zeros(len(self.x), dtype=torch.int64)

    def __call__(self, mask: Tensor, rows: Tensor | None = None) -> Standing:
        """How the samples stand with these flips.

        Args:
            mask: bool `[n, entries]`.
            rows: int64 `[n]`, the samples that are flipped; all in order by default.
        """
        rows = torch.arange(len(self.x)) if rows is None else rows
        found = [
            self._ask(flat.bool(), part)
            for flat, part in zip(_pieces(mask), _pieces(rows), strict=True)
        ]
        return _joined(found, self.x)

    def with_one_more(self, mask: Tensor, rows: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """How they stand with each of `places` flipped on top (or back), one at a time.

        Args:
            mask: bool `[n, entries]`.
            rows: int64 `[n]`, the samples.
            places: int64 `[n, k]`, entries; below 0: not asked.

        Returns:
            broken (bool) and margin (minus infinity where not asked), `[n, k]`.
        """
        broken = torch.zeros(places.shape, dtype=torch.bool)
        margin = torch.full(places.shape, -torch.inf)
        for piece in _pieces((places >= 0).nonzero()):
            owner, column = piece.unbind(1)
            flat = mask[owner]
            here = torch.arange(len(owner))
            flat[here, places[owner, column]] ^= True
            standing = self._ask(flat, rows[owner])
            broken[owner, column] = standing.broken > 0
            margin[owner, column] = standing.margin.to(margin.dtype)
        return broken, margin

    def _ask(self, mask: Tensor, rows: Tensor) -> Standing:
        self.asked += torch.bincount(rows, minlength=len(self.asked))
        x = (self.x[rows].flatten(1) ^ mask.to(self.x.dtype)).view(-1, *self.x.shape[1:])
        with torch.no_grad():
            logits = self.classifier.logits(x, self.generator)
        return objectives.standing(logits, self.labels[rows])


def _joined(found: list[Standing], x: Tensor) -> Standing:
    if not found:
        return Standing.nothing(x[:0])
    return Standing(
        torch.cat([each.broken for each in found]), torch.cat([each.margin for each in found])
    )


def _pieces(values: Tensor) -> list[Tensor]:
    return [values[start : start + PIECE] for start in range(0, len(values), PIECE)]
