"""What an attack on the deployment reached: wraps, operations, clocks that disagree."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from neurorobust.attacks.deployment import OBJECTIVES
from neurorobust.backends.base import GLOBAL
from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.engine.overflow import Bound, before_wrap, bounds, wraps
from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput
from neurorobust.rates import Rate, Strict, rate
from neurorobust.types import Labels


class Reached(Strict):
    """One set of inputs.

    correct: right answers on the aligned clock. late: right answers on the global clock, read in
    the sample's own steps. apart: samples that are right on the first and wrong on the second.
    operations: synaptic operations, mean of a sample. wrapped: samples in which u wrapped
    somewhere; `wraps` in all.
    """

    correct: Rate
    late: Rate
    apart: Rate
    operations: float
    wrapped: Rate
    wraps: int


def steps_of(classifier: Classifier, x: Tensor) -> int:
    """Time steps of one sample."""
    return int(x.shape[4]) if classifier.encoder.domain == "spikes" else classifier.encoder.steps


def layer_bounds(classifier: Classifier, x: Tensor) -> tuple[Bound, ...]:
    """The static bound of |u| of every layer, for any binary input.

    Raises:
        BadInput: another backend than the engine.
    """
    return bounds(_engine(classifier), steps_of(classifier, x))


def reached(
    classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
) -> Reached:
    """Measure a batch, by one encoding.

    Raises:
        BadInput: another backend than the engine.
    """
    engine, total = _engine(classifier), len(x)
    state = generator.get_state()
    inputs = classifier.encoder.encode(x, generator)
    right = classifier.readout.labels(engine.run(inputs)) == labels
    late = classifier.readout.labels(engine.run(inputs, clock=GLOBAL)) == labels
    count = np.zeros(total, dtype=np.int64)
    for bound in bounds(engine, inputs.steps):
        if bound.can_wrap:
            count += wraps(before_wrap(engine, inputs, bound.layer))
    generator.set_state(state)  # the same spikes again
    operations = OBJECTIVES["energy"].value(classifier, x, labels, generator)
    return Reached(
        correct=rate(int(right.sum()), total),
        late=rate(int(late.sum()), total),
        apart=rate(int((right & ~late).sum()), total),
        operations=float(operations.mean()),
        wrapped=rate(int((count > 0).sum()), total),
        wraps=int(count.sum()),
    )


def _engine(classifier: Classifier) -> EngineBackend:
    if not isinstance(classifier.backend, EngineBackend):
        raise BadInput(f"faults: needs the engine, not {classifier.backend.name}")
    return classifier.backend
