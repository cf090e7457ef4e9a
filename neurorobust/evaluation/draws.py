"""How a proposal is scored: by one run, or by many draws where the encoder is random.

A network that draws answers the same x differently from draw to draw. Were each attack of a chain
scored by one fresh draw, chance would count as attack: a sample that is right with probability p
survives n attacks that change nothing with probability p^n. So two sets of draws are kept apart:

    selecting   pick one proposal for each sample (x itself is among the candidates), and decide
                which samples a recipe still attacks
    scoring     score what was picked; the same draws for x and for every proposal

The coins of a sample depend on the seed, its place and the number of the draw alone: x and all its
proposals meet the same ones, whichever other samples are asked about. Where nothing is drawn there
is one run, which is both.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.spike_view import spike_view
from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput
from neurorobust.evaluation.query import Arrays, pack, score
from neurorobust.evaluation.seeds import fork
from neurorobust.types import Inputs, Labels, Spikes

DRAWS = 10  # selecting, and as many scoring, where the encoder draws
HALF = 0.5  # a sample stands while more than this share of the selecting draws is right


@dataclass(frozen=True)
class Scored:
    """What a network makes of some samples; first axis: these samples.

    Attributes:
        predicted: labels of the first scoring draw, int64.
        again: labels of the first selecting draw; `predicted` where nothing is drawn.
        selecting: share of the selecting draws that are right, float64.
        scoring: share of the scoring draws that are right, float64.
        drawn: the spikes of the first scoring draw; None where nothing is drawn.
    """

    predicted: Labels
    again: Labels
    selecting: Tensor
    scoring: Tensor
    drawn: Spikes | None

    @property
    def standing(self) -> Tensor:
        """Bool: right in more than half of the selecting draws."""
        return self.selecting > HALF

    def arrays(self, name: str, spikes: bool = True) -> Arrays:
        """What `samples.npz` keeps under a name; the spikes of the first scoring draw are large."""
        found: Arrays = {f"predicted/{name}": self.predicted.numpy()}
        if self.drawn is not None:
            found[f"selecting/{name}"] = self.selecting.numpy()
            found[f"scoring/{name}"] = self.scoring.numpy()
            if spikes:
                found[f"drawn/{name}"] = pack(self.drawn)
        return found

    def at(self, rows: Tensor) -> Scored:
        """Of these samples alone."""
        return Scored(
            self.predicted[rows],
            self.again[rows],
            self.selecting[rows],
            self.scoring[rows],
            None if self.drawn is None else self.drawn[rows],
        )

    def replaced(self, rows: Tensor, other: Scored) -> Scored:
        """With another judgement of the samples `rows` (int64 `[n]`; `other` has n)."""
        drawn = self.drawn
        if drawn is not None and other.drawn is not None:
            drawn = drawn.index_copy(0, rows, other.drawn)
        return Scored(
            self.predicted.index_copy(0, rows, other.predicted),
            self.again.index_copy(0, rows, other.again),
            self.selecting.index_copy(0, rows, other.selecting),
            self.scoring.index_copy(0, rows, other.scoring),
            drawn,
        )


@dataclass(frozen=True)
class Draws:
    """The draws by which the samples of one shard are scored.

    Attributes:
        seed: of the evaluation: every seed of an attack meets the same draws.
        number: of the shard.
        count: of selecting draws, and of scoring draws.
    """

    seed: int
    number: int
    count: int = DRAWS

    def __post_init__(self) -> None:
        if self.count < 1:
            raise BadInput(f"draws {self.count}: below 1")

    def score(
        self, classifier: Classifier, x: Tensor, labels: Labels, rows: Tensor | None = None
    ) -> Scored:
        """Run x as often as needed and compare with the labels.

        Args:
            classifier: the target.
            x: samples or proposals for them.
            labels: what is right, int64 `[batch]`.
            rows: places of the samples in the shard, int64 `[batch]`; None: all of it, in order.
        """
        if not classifier.encoder.random:
            predicted, _ = score(classifier, x, fork(self.seed, self.number, "clean"))
            right = (predicted == labels).double()
            return Scored(predicted, predicted, right, right, None)
        places = torch.arange(len(x)) if rows is None else rows
        selecting, again, _ = self._share(classifier, x, labels, places, "selecting")
        scoring, predicted, drawn = self._share(classifier, x, labels, places, "scoring")
        return Scored(predicted, again, selecting, scoring, drawn)

    def on_spikes(
        self, classifier: Classifier, x: Tensor, labels: Labels, drawn: Spikes | None
    ) -> tuple[Classifier, Spikes, Scored]:
        """Images as an adversary on the spikes meets them: the network behind its first synapse.

        Args:
            classifier: takes images.
            x: images.
            labels: what is right.
            drawn: the spikes of the first scoring draw, where the encoder draws.
        """
        target, spikes = spike_view(classifier, x, fork(self.seed, self.number, "clean"))
        spikes = spikes if drawn is None else drawn
        return target, spikes, self.score(target, spikes, labels)

    def _share(
        self, classifier: Classifier, x: Tensor, labels: Labels, places: Tensor, purpose: str
    ) -> tuple[Tensor, Labels, Spikes]:
        """The share of draws that are right; labels and spikes of the first one."""
        right = torch.zeros(len(x), dtype=torch.float64)
        first, spikes = labels, torch.zeros(0, dtype=torch.uint8)
        for draw in range(self.count):
            drawn = self._spikes(classifier, x, places, purpose, draw)
            with torch.no_grad():
                parts = torch.split(drawn, classifier.backend.query_batch)
                answers = [
                    classifier.readout.labels(classifier.backend.run(Inputs.of(part)))
                    for part in parts
                ]
            predicted = torch.cat(answers).to(labels.device)
            right += (predicted == labels).double()
            if draw == 0:
                first, spikes = predicted, drawn
        return right / self.count, first, spikes

    def _spikes(
        self, classifier: Classifier, x: Tensor, places: Tensor, purpose: str, draw: int
    ) -> Spikes:
        """One draw for every sample: uint8 `[batch, *input_shape, steps]`."""
        if not len(x):
            shape = (0, *classifier.backend.model.input_shape, classifier.encoder.steps)
            return torch.zeros(shape, dtype=torch.uint8)
        encoded = [
            classifier.encoder.encode(row[None], fork(self.seed, self.number, place, purpose, draw))
            for row, place in zip(x, places.tolist(), strict=True)
        ]
        if any(one.driven for one in encoded):
            raise BadInput(f"encoder {classifier.encoder.name}: draws, but gives no spikes")
        return torch.cat([one.values for one in encoded])
