"""The evaluation: what is asked is checked before any work, then done or resumed."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neurorobust.attacks import Attack, settings
from neurorobust.attacks.recipe import Recipe
from neurorobust.classifier import Classifier
from neurorobust.datasets.base import Dataset
from neurorobust.errors import BadInput
from neurorobust.evaluation.compatibility import check_fit, check_jobs
from neurorobust.evaluation.draws import DRAWS
from neurorobust.evaluation.kept import Progress
from neurorobust.evaluation.request import Question, fitting
from neurorobust.evaluation.shard import SHARD
from neurorobust.evaluation.store import Store, read_record
from neurorobust.evaluation.work import Work
from neurorobust.records import Card, Record
from neurorobust.support.lock import locked
from neurorobust.support.version import __version__


def evaluate(
    classifier: Classifier,
    dataset: Dataset,
    *,
    card: Card | None = None,
    model: str = "",
    budgets: Mapping[str, Sequence[str]] | None = None,
    attacks: Sequence[str | Attack | Recipe] = (),
    seed: int = 0,
    seeds: int = 1,
    draws: int = DRAWS,
    minimum: bool = False,
    targeted: bool = False,
    control: bool = True,
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
        dataset: what it is asked.
        card: of the model; goes into the record; None: that of the classifier's network.
        model: the model's name in the record; by default its network's, or its path.
        budgets: as typed, by kind (`budgets.KINDS`): `{"eps": ["0.1", "8/255"]}`.
        attacks: names, attacks, or one recipe beside them; none: clean accuracy only.
        seed: of everything random.
        seeds: so many from `seed` on; every attack is run from each.
        draws: of an encoder that draws: so many select a proposal for each sample, and as many
            others score it; others draw nothing.
        minimum: also look for the smallest budget that breaks each sample.
        targeted: also attack with a class for each sample that must be reached.
        control: run a control of the same kind (`attacks.controls`) at every budget that is
            attacked; without one nothing shows that attacks are stronger than chance.
        validation: samples on which a recipe chooses its strongest mode; none of `dataset`.
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
    if seeds < 1:
        raise BadInput(f"seeds {seeds}: below 1")
    if draws < 1:
        raise BadInput(f"draws {draws}: below 1")
    if classifier.network is not None:
        card, model = card or classifier.network.card, model or classifier.network.name
    if card is None:
        raise BadInput("evaluate: the classifier has no network with a card, give card=")
    from neurorobust.attacks.annealing.follow import hindrance  # numba comes with it: not at import

    followed = not hindrance(classifier, int(dataset.x.shape[-1]))
    suited = fitting(attacks, classifier.backend.model.outputs, followed)
    question = Question(budgets or {}, suited, seed, seeds, minimum, targeted, control)
    check_jobs(classifier, dataset, question.jobs)
    check_fit(classifier, dataset, card)
    if validation is not None:
        check_fit(classifier, validation, card)
    wanted = _settings(classifier, dataset, card, question, draws, validation)
    work = Work(
        classifier, dataset, card, model, question, draws, validation, progress, command, pending
    )
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
    question: Question,
    draws: int,
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
        "seed": question.seed,
        "seeds": question.seeds,
        "draws": draws if classifier.encoder.random else None,
        "minimum": question.minimum,
        "targeted": question.targeted,
        "jobs": [job.name for job in question.jobs],
        "attacks": {job.label: settings(job.attack) for job in question.jobs},
        "card": card.model_dump(mode="json"),
        "readout": {"kind": classifier.readout.kind, "scale": classifier.readout.scale},
        "shard": SHARD,
    }
