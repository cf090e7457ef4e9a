"""Whether a network, data and attacks fit each other: asked before any work."""

from __future__ import annotations

import numpy as np

from neurorobust.attacks.base import CheckedAttack
from neurorobust.budgets import KINDS, SpikeBudget
from neurorobust.classifier import Classifier
from neurorobust.datasets.base import Dataset
from neurorobust.errors import BadInput, DatasetError
from neurorobust.evaluation.jobs import Job
from neurorobust.evaluation.seeds import fork
from neurorobust.records import Card

AT_ONCE = 256  # samples


def check_fit(classifier: Classifier, dataset: Dataset, card: Card | None = None) -> None:
    """Refuse data that the classifier cannot be asked about.

    Args:
        classifier: the target.
        dataset: what it is asked.
        card: of the model; data that are spikes must have as many time steps as it says.

    Raises:
        DatasetError: empty, of the wrong kind or length, or with a label that no output stands for.
        BadInput: the encoder refuses a sample.
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
    for label in (int(dataset.y.max()), int(dataset.y.min())):
        if not 0 <= label < outputs:
            raise DatasetError(f"{name}: label {label}, the network has {outputs} outputs")
    for start in range(0, len(dataset), AT_ONCE):
        _encode(classifier, dataset, start, min(start + AT_ONCE, len(dataset)))


def _encode(classifier: Classifier, dataset: Dataset, start: int, stop: int) -> None:
    """Encode some samples; what is refused names the sample in the set's order."""
    try:
        classifier.encoder.encode(dataset.batch(start, stop)[0], fork(0))
    except BadInput:
        for place in range(start, stop):
            try:
                classifier.encoder.encode(dataset.batch(place, place + 1)[0], fork(0))
            except BadInput as error:  # of a batch of one, where it is sample 0
                reason = str(error).replace("sample 0 ", f"sample {place} ")
                raise type(error)(f"{dataset.name}: {reason}") from None
        raise


def _check_region(typed: str, budget: SpikeBudget, shape: tuple[int, ...]) -> None:
    """Refuse a budget whose channel, rows or columns are not there: nothing could be flipped."""
    named = {
        "channel": None if budget.channel is None else budget.channel + 1,
        "rows": None if budget.rows is None else budget.rows[1],
        "columns": None if budget.columns is None else budget.columns[1],
    }
    for (name, end), size in zip(named.items(), shape, strict=True):
        if end is not None and end > size:
            plural = name if name.endswith("s") else f"{name}s"
            raise BadInput(f"flips {typed!r}: {name} beyond the input, which has {size} {plural}")


def check_jobs(classifier: Classifier, dataset: Dataset, jobs: tuple[Job, ...]) -> None:
    """Refuse attacks that the network or the data cannot be asked with.

    Raises:
        BadInput: images wanted and spikes there, too many flips or flips outside the input, no
            gradients, or something that an attack itself needs (`CheckedAttack`).
    """
    model = classifier.backend.model
    steps = classifier.encoder.steps or int(dataset.x.shape[-1])
    entries = int(np.prod(model.input_shape)) * steps
    for job in jobs:
        if job.domain == "images" and dataset.domain != "images":
            others = " or ".join(
                f"--{kind.name} {kind.examples[0]}"
                for kind in KINDS.values()
                if kind.domain == dataset.domain
            )
            raise BadInput(
                f"--{job.kind} {job.typed}: changes images, {dataset.name} holds spikes, "
                f"give {others}"
            )
        if job.kind == "flips" and job.value > entries:
            raise BadInput(f"flips {job.typed!r}: above {entries}, the entries of one input")
        if isinstance(job.budget, SpikeBudget):
            spikes = dataset.x.shape[1:4] if dataset.domain == "spikes" else model.input_shape
            _check_region(job.typed, job.budget, tuple(spikes))
        if job.attack.access == "white-box" and not classifier.differentiable:
            raise BadInput(
                f"attack {job.attack.name!r}: backend {classifier.backend.name} has no gradients, "
                "use engine"
            )
        if isinstance(job.attack, CheckedAttack):
            job.attack.check(classifier, tuple(dataset.x.shape[1:]), job.budget)
