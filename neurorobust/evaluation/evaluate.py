"""The evaluation: what is asked is checked before any work, then done or resumed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from neurorobust.attacks import settings
from neurorobust.classifier import Classifier
from neurorobust.datasets.base import Dataset
from neurorobust.errors import BadInput
from neurorobust.evaluation.compatibility import check_fit, check_jobs
from neurorobust.evaluation.kept import Progress
from neurorobust.evaluation.request import Request
from neurorobust.evaluation.shard import SHARD
from neurorobust.evaluation.store import Store, read_record
from neurorobust.evaluation.work import Work
from neurorobust.records import Card, Record
from neurorobust.support.lock import locked
from neurorobust.support.version import __version__


def evaluate(
    classifier: Classifier,
    dataset: Dataset,
    request: Request,
    *,
    card: Card | None = None,
    model: str = "",
    validation: Dataset | None = None,
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
        dataset: samples with their classes.
        request: attacks, budgets, seeds. What it says of a confirmation and a comparison is the
            caller's to do (`assess.assess`), and only kept.
        card: of the model; goes into the record; None: that of the classifier's network.
        model: the model's name in the record; by default its network's, or its path.
        validation: samples on which a recipe chooses its strongest mode; none of `dataset`.
        out: directory of `record.json` and `samples.npz`; None: only the record is kept.
        resume: go on with what a run with the same settings left in `out`.
        overwrite: remove what lies in `out`.
        progress: told (done, total, what) after every job of every shard.
        command: the command line, for the record.
        pending: what the caller will still add to the record, in words: it stays marked as
            unfinished until it is written without them.

    Raises:
        BadInput: a request that contradicts the network or the data (before any work).
        OutputError: `out` cannot be written, or already holds a result (before any work).
    """
    if classifier.network is not None:
        card, model = card or classifier.network.card, model or classifier.network.name
    if card is None:
        raise BadInput("evaluate: the classifier has no network with a card, give card=")
    from neurorobust.attacks.annealing.follow import hindrance  # numba comes with it: not at import

    followed = not hindrance(classifier, int(dataset.x.shape[-1]))
    fitting = request.fitting(classifier.backend.model.outputs, followed)
    check_jobs(classifier, dataset, fitting.jobs)
    check_fit(classifier, dataset, card)
    if validation is not None:
        check_fit(classifier, validation, card)
    wanted = _settings(classifier, dataset, card, fitting, validation)
    work = Work(classifier, dataset, card, model, fitting, validation, progress, command, pending)
    if out is None:
        with tempfile.TemporaryDirectory(prefix="neurorobust-") as folder:
            return work.run(Store(Path(folder), wanted, resume=False, overwrite=False))
    with locked(out):
        store = Store(out, wanted, resume, overwrite)
        if store.finished:
            store.clean_up()
            return read_record(out)
        return work.run(store)


def _settings(
    classifier: Classifier,
    dataset: Dataset,
    card: Card,
    request: Request,
    validation: Dataset | None,
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
        "validation": None if validation is None else validation.digest(),
        "seed": request.seed,
        "seeds": request.seeds,
        "draws": request.draws if classifier.encoder.random else None,
        "minimum": request.minimum,
        "targeted": request.targeted,
        "jobs": [job.name for job in request.jobs],
        "attacks": {job.label: settings(job.attack) for job in request.jobs},
        "card": card.model_dump(mode="json"),
        "readout": {"kind": classifier.readout.kind, "scale": classifier.readout.scale},
        "shard": SHARD,
    }
