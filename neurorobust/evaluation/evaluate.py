"""The evaluation itself: shards in order, resumable, then the record."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from neurorobust import __version__
from neurorobust.attacks import Attack, settings
from neurorobust.classifier import Classifier
from neurorobust.datasets.base import Dataset
from neurorobust.errors import BadInput, DatasetError
from neurorobust.evaluation.examples import examples
from neurorobust.evaluation.jobs import Job, plan
from neurorobust.evaluation.seeds import fork
from neurorobust.evaluation.shard import SHARD, Arrays, evaluate_shard
from neurorobust.evaluation.store import Store, read_record
from neurorobust.evaluation.summary import SMALL, clean_rate, redraw_rate, robust_rates
from neurorobust.provenance import now, provenance
from neurorobust.records import Card, Record
from neurorobust.targets import TARGETS

Progress: TypeAlias = Callable[[int, int, str], None]


def evaluate(
    classifier: Classifier,
    dataset: Dataset,
    *,
    card: Card,
    model: str = "",
    epsilons: Sequence[str] = (),
    flips: Sequence[str] = (),
    attacks: Sequence[str | Attack] = (),
    seed: int = 0,
    out: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    command: str = "",
    pending: tuple[str, ...] = (),
) -> Record:
    """How many samples a network gets right, clean and under attack.

    The record is the same however often the run was interrupted and resumed, and on any number of
    cores; times excluded.

    Args:
        classifier: the target.
        dataset: what it is asked.
        card: of the model; goes into the record.
        model: the model's name in the record; by default its path.
        epsilons: L-infinity budgets in pixel units as typed (`0.1`, `8/255`), for image attacks.
        flips: numbers of flipped input spikes as typed, for attacks on spikes.
        attacks: names (or attacks); none: clean accuracy only.
        seed: of everything random.
        out: directory of `record.json` and `samples.npz`; None: only the record is kept.
        resume: go on with what a run with the same settings left in `out`.
        overwrite: remove what lies in `out`.
        progress: told (done, total, what) after every job of every shard.
        command: the command line, for the record.
        pending: what the caller will still add to the record, in words: it stays marked as
            unfinished until it is written without them.

    Raises:
        BadInput: settings that contradict each other, the network or the data (before any work).
        OutputError: `out` cannot be written, or already holds a result (before any work).
    """
    jobs = plan({"eps": epsilons, "flips": flips}, attacks)
    check_fit(classifier, dataset, card)
    _check_jobs(classifier, dataset, jobs)
    wanted = _settings(classifier, dataset, card, jobs, seed)
    asked = (classifier, dataset, card, model, jobs, seed)
    if out is None:
        with tempfile.TemporaryDirectory(prefix="neurorobust-") as folder:
            store = Store(Path(folder), wanted, resume=False, overwrite=False)
            return _run(*asked, store, progress, command, pending)
    store = Store(out, wanted, resume, overwrite)
    if store.finished:
        store.clean_up()
        return read_record(out)
    return _run(*asked, store, progress, command, pending)


def _run(
    classifier: Classifier,
    dataset: Dataset,
    card: Card,
    model: str,
    jobs: tuple[Job, ...],
    seed: int,
    store: Store,
    progress: Progress | None,
    command: str,
    pending: tuple[str, ...],
) -> Record:
    started, clock = now(), time.perf_counter()
    shards = -(-len(dataset) // SHARD)
    total, done = shards * (1 + len(jobs)), 0

    def tick(what: str, units: int = 1) -> None:
        nonlocal done
        done += units
        if progress is not None:
            progress(done, total, what)

    for number in range(shards):
        if store.has(number):
            tick("resumed", 1 + len(jobs))
            continue
        x, labels = dataset.batch(number * SHARD, min((number + 1) * SHARD, len(dataset)))
        store.save(number, evaluate_shard(classifier, x, labels, jobs, seed, number, tick))
    arrays: dict[str, Any] = store.gather(shards, *SMALL)
    extra: Arrays = examples(classifier, dataset, jobs, arrays, store, seed)
    if classifier.encoder.random:
        shape = (*classifier.backend.model.input_shape, classifier.encoder.steps)
        extra["drawn_shape"] = np.asarray(shape, dtype=np.int64)
    backend = classifier.backend
    record = Record(
        model=model or backend.model.path or backend.model.sha256,
        model_sha256=backend.model.sha256,
        card=card,
        backend=backend.name,
        target=TARGETS.get(backend.name, backend.name),
        dataset=dataset.name,
        seed=seed,
        attacks={job.attack.name: settings(job.attack) for job in jobs},
        clean=clean_rate(arrays),
        redraw=redraw_rate(arrays),
        robust=robust_rates(arrays, jobs, "eps"),
        robust_flips=robust_rates(arrays, jobs, "flips"),
        pending=pending,
        provenance=provenance(command, started, time.perf_counter() - clock),
    )
    store.finish(shards, extra, record)
    return record


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


def _check_jobs(classifier: Classifier, dataset: Dataset, jobs: tuple[Job, ...]) -> None:
    model = classifier.backend.model
    steps = classifier.encoder.steps or int(dataset.x.shape[-1])
    entries = int(np.prod(model.input_shape)) * steps
    for job in jobs:
        if job.domain == "images" and dataset.domain != "images":
            raise BadInput(f"attack {job.attack.name!r}: needs images, {dataset.name} holds spikes")
        if job.kind == "flips" and job.value > entries:
            raise BadInput(f"flips {job.typed!r}: above {entries}, the entries of one input")
        if job.attack.access == "white-box" and not classifier.differentiable:
            raise BadInput(
                f"attack {job.attack.name!r}: backend {classifier.backend.name} has no gradients, "
                "use engine"
            )


def _settings(
    classifier: Classifier, dataset: Dataset, card: Card, jobs: tuple[Job, ...], seed: int
) -> dict[str, Any]:
    """What a run must share with the one it resumes."""
    return {
        "version": __version__,
        "model": classifier.backend.model.sha256,
        "backend": classifier.backend.name,
        "dataset": dataset.name,
        "split": dataset.split,
        "samples": len(dataset),
        "data": dataset.digest(),
        "seed": seed,
        "jobs": [job.name for job in jobs],
        "attacks": {job.attack.name: settings(job.attack) for job in jobs},
        "card": card.model_dump(mode="json"),
        "readout": {"kind": classifier.readout.kind, "scale": classifier.readout.scale},
        "shard": SHARD,
    }
