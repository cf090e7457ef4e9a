"""Accuracy over the number of flipped weight bits, searched and random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput
from neurorobust.evaluation.kept import Kept
from neurorobust.evaluation.query import Arrays
from neurorobust.faults.bits import Samples
from neurorobust.faults.memory import Flip, flipped
from neurorobust.rates import Rate, Strict, rate
from neurorobust.types import Labels


class Row(Strict):
    """One number of flipped bits.

    bits: how many. searched: right answers after the searched bits. random: right answers after as
    many random bits, once for each repetition.
    """

    bits: int
    searched: Rate
    random: tuple[Rate, ...]


@dataclass(frozen=True, eq=False)
class Curve:
    """Accuracy over the number of flipped bits.

    Attributes:
        rows: one for each number.
        predicted: the answers, int64 `[samples]`, by `<bits>/searched` and `<bits>/random-<i>`.
    """

    rows: tuple[Row, ...]
    predicted: Arrays


def curve(
    classifier: Classifier,
    samples: Samples,
    searched: Sequence[Flip],
    random: Sequence[Sequence[Flip]],
    counts: Sequence[int],
    kept: Kept | None = None,
) -> Curve:
    """Accuracy over the number of flipped bits, on samples that the search did not see.

    Args:
        classifier: encoder, network and readout.
        samples: to score on.
        searched: bits in the order they were found.
        random: repetitions of the control.
        counts: numbers of bits; 0 is the network as it is.
        kept: answers are taken from here, or kept here; None: computed anew.

    Raises:
        BadInput: more bits than were found.
    """
    if max(counts) > len(searched):
        raise BadInput(f"weight bits: {max(counts)} asked for, {len(searched)} found")
    model, rows = classifier.backend.model, []
    control = {f"random-{place}": flips for place, flips in enumerate(random)}
    predicted: Arrays = {}
    for count in counts:

        def answers(count: int = count) -> Arrays:
            return {
                name: samples.predicted(classifier, flipped(model, flips[:count])).numpy()
                for name, flips in {"searched": searched, **control}.items()
            }

        found = answers() if kept is None else kept.arrays(f"scoring {count}", (), answers)
        predicted |= {f"{count}/{name}": labels for name, labels in found.items()}
        right = {name: _right(labels, samples.labels) for name, labels in found.items()}
        rows.append(
            Row(bits=count, searched=right["searched"], random=tuple(right[n] for n in control))
        )
    return Curve(tuple(rows), predicted)


def _right(predicted: npt.NDArray[np.generic], labels: Labels) -> Rate:
    return rate(int((predicted == labels.numpy()).sum()), len(labels))
