"""Whether a network, data and attacks fit each other: asked before any work."""

from __future__ import annotations

import numpy as np

from neurorobust.budgets import KINDS, TYPED
from neurorobust.classifier import Classifier
from neurorobust.datasets.base import Dataset
from neurorobust.errors import BadInput, DatasetError
from neurorobust.evaluation.jobs import Job
from neurorobust.evaluation.seeds import fork
from neurorobust.records import Card


def check_fit(classifier: Classifier, dataset: Dataset, card: Card | None = None) -> None:
    """Refuse data that the classifier cannot be asked about.

    Args:
        classifier: the target.
        dataset: what it is asked.
        card: of the model; data that are spikes must have as many time steps as it says.

    Raises:
        DatasetError: empty, of the wrong kind or length, or with a label that no output stands for.
        BadInput: the encoder refuses the first sample.
    """
    name, outputs = dataset.name, classifier.backend.model.outputs
    if len(dataset) == 0:
        raise DatasetError(f"{name}: 0 samples, need at least 1")
    if dataset.domain != classifier.encoder.domain:
        raise DatasetError(
            f"{name}: holds {dataset.domain}, encoder {classifier.encoder.name} takes "
            f"{classifier.encoder.domain}"
        )
    if card is not None and dataset.domain == "spikes" and dataset.x.shape[-1] != card.steps:
        raise DatasetError(
            f"{name}: {dataset.x.shape[-1]} time steps, the card says {card.steps} steps"
        )
    largest = int(dataset.y.max())
    if largest >= outputs:
        raise DatasetError(f"{name}: label {largest}, the network has {outputs} outputs")
    classifier.encoder.encode(dataset.batch(0, 1)[0], fork(0))


def check_jobs(classifier: Classifier, dataset: Dataset, jobs: tuple[Job, ...]) -> None:
    """Refuse attacks that the network or the data cannot be asked with.

    Raises:
        BadInput: images wanted and spikes there, too many flips, or no gradients.
    """
    model = classifier.backend.model
    steps = classifier.encoder.steps or int(dataset.x.shape[-1])
    entries = int(np.prod(model.input_shape)) * steps
    for job in jobs:
        if job.domain == "images" and dataset.domain != "images":
            others = " or ".join(
                f"--{kind} {TYPED[kind][0]}" for kind in KINDS if KINDS[kind] == dataset.domain
            )
            raise BadInput(
                f"--{job.kind} {job.typed}: changes images, {dataset.name} holds spikes, "
                f"give {others}"
            )
        if job.kind == "flips" and job.value > entries:
            raise BadInput(f"flips {job.typed!r}: above {entries}, the entries of one input")
        if job.attack.access == "white-box" and not classifier.differentiable:
            raise BadInput(
                f"attack {job.attack.name!r}: backend {classifier.backend.name} has no gradients, "
                "use engine"
            )
