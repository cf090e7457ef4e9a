"""A finer score than a spike count: the synaptic charge that each class received.

A count moves in whole spikes: most single flips leave it as it is, and a search on counts alone
walks on a plain. The synaptic current into the output neurons, summed over time, moves with every
spike of the layer before. Both are exact integers of the target.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from neurorobust.attacks import objectives
from neurorobust.attacks.flip_queries import PIECE
from neurorobust.backends.base import ALIGNED, Backend, InProcess
from neurorobust.classifier import Classifier
from neurorobust.types import Inputs, Labels, Run


@dataclass(frozen=True)
class Answers:
    """What a network said.

    Attributes:
        wrong: bool `[n]`, another class than the true one.
        integers: of the readout, float64 `[n, classes]`.
        charge: float64 `[n, classes]`: the current into each output neuron, summed over time; of a
            readout that reads the membrane, which is fine as it is, `integers` again.
    """

    wrong: Tensor
    integers: Tensor
    charge: Tensor


class Recorded(InProcess):
    """A backend that always records the output layer too; whoever opened it closes it."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.name, self.about = backend.name, backend.about
        self.query_batch, self.model = backend.query_batch, backend.model

    def run(self, inputs: Inputs, record: Collection[int] = (), clock: str = ALIGNED) -> Run:
        """See `Backend.run`."""
        return self.backend.run(inputs, {*record, self.model.output_layer.number}, clock)


@dataclass
class FineFlipQueries:
    """Questions about flips of one batch, in pieces that fit into memory; no gradient is used.

    `plain` stays the classifier that was given, for whoever wants gradients.

    Attributes:
        classifier: the target.
        x: spikes uint8 `[batch, C, H, W, time]` that are flipped.
        labels: true classes.
        generator: feeds a random encoder.
    """

    classifier: Classifier
    x: Tensor
    labels: Labels
    generator: torch.Generator

    def __post_init__(self) -> None:
        self.plain = self.classifier
        self.classifier = objectives.unscaled(self.classifier)
        self.counts = self.classifier.readout.decoding.coarse
        if self.counts:
            self.classifier = replace(self.classifier, backend=Recorded(self.classifier.backend))
        self.asked = torch.zeros(len(self.x), dtype=torch.int64)

    def __call__(self, mask: Tensor, rows: Tensor, edits: Tensor | None = None) -> Answers:
        """What is said of each state, or of each state with its edit on top.

        Args:
            mask: flips bool `[m, entries]`; with edits that of `rows` is taken, else of the place.
            rows: int64 `[n]`, the samples.
            edits: int64 `[n, w]`, entries that are toggled; below 0: none. None: no edits.
        """
        found = [self._ask(mask, rows, edits, start) for start in range(0, len(rows), PIECE)]
        if not found:
            nothing = torch.zeros(0, 0, dtype=torch.float64)
            return Answers(torch.zeros(0, dtype=torch.bool), nothing, nothing)
        return Answers(
            torch.cat([each.wrong for each in found]),
            torch.cat([each.integers for each in found]),
            torch.cat([each.charge for each in found]),
        )

    def _ask(self, mask: Tensor, rows: Tensor, edits: Tensor | None, start: int) -> Answers:
        some = rows[start : start + PIECE]
        flips = mask[start : start + PIECE] if edits is None else mask[some]
        spikes = self.x[some].flatten(1) ^ flips.to(self.x.dtype)
        if edits is not None:
            own = edits[start : start + PIECE]
            owner, column = (own >= 0).nonzero(as_tuple=True)
            spikes[owner, own[owner, column]] ^= 1
        self.asked += torch.bincount(some, minlength=len(self.asked))
        run = self.classifier.run(spikes.view(-1, *self.x.shape[1:]), self.generator)
        integers = self.classifier.readout.integers(run).double()
        charge = integers
        if self.counts:
            charge = run.layers[self.classifier.backend.model.output_layer.number].u
            charge = charge.double().sum(-1)
        wrong = self.classifier.readout.labels(run) != self.labels[some]
        return Answers(wrong, integers, charge)
