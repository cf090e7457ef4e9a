"""One deployed network, start to end: score, attack, compare, confirm, flag, write, report."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from neurorobust.assess.compare import compare, planned
from neurorobust.assess.confirm import confirm
from neurorobust.attacks import Attack, find
from neurorobust.attacks.recipe import Recipe
from neurorobust.backends.base import Backend
from neurorobust.backends.registry import Settings, find_target, open_backend
from neurorobust.checks import flags
from neurorobust.classifier import Classifier, Network
from neurorobust.datasets import Dataset
from neurorobust.errors import BadInput
from neurorobust.evaluation import DRAWS, Progress, evaluate, load_samples, write_record
from neurorobust.records import ParityResult, Record
from neurorobust.report import write_report
from neurorobust.support.lock import locked

if TYPE_CHECKING:
    from neurorobust.networks.block_network import BlockNetwork


@dataclass(frozen=True)
class Confirm:
    """`lava:32`: replay so many samples, over all budgets, on that target."""

    backend: str
    samples: int


@dataclass(frozen=True)
class Question:
    """What is asked of a network.

    Attributes:
        attacks, budgets: names, and by kind as typed; with `seed`, `seeds`, `draws`,
            `minimum`, `targeted`, `control` and `validation` see `evaluation.evaluate`.
        backend, settings: the target that is attacked, and how it (and Lava, confirming) runs.
        confirm: the second target that replays samples, if any.
        against: the float network for the 2x2, if any; attacked with `compare_with`.
        parity: results of earlier parity checks, to stand in the record.
        command: the command line, for the record.
    """

    attacks: Sequence[str | Attack | Recipe] = ()
    budgets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    seed: int = 0
    seeds: int = 1
    draws: int = DRAWS
    minimum: bool = False
    targeted: bool = False
    control: bool = True
    validation: Dataset | None = None
    backend: str = "engine"
    settings: Settings = field(default_factory=Settings)
    confirm: Confirm | None = None
    against: Classifier | None = None
    compare_with: str = "pgd-linf"
    parity: tuple[ParityResult, ...] = ()
    command: str = ""

    @property
    def compared(self) -> Sequence[str]:
        """The budgets, as typed, of the attack that compares."""
        return self.budgets.get(find(self.compare_with).kind, ())


def assess(
    network: Network,
    data: Dataset,
    question: Question,
    out: Path | None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Record:
    """Answer a question; with `out`, leave record.json, samples.npz and report.html there.

    See `assess_classifier`; the backend is opened here.
    """
    with (
        nullcontext() if out is None else locked(out),
        network.open(question.backend, question.settings) as attacked,
    ):
        return assess_classifier(attacked, data, question, out, resume, overwrite, progress)


def assess_classifier(
    attacked: Classifier,
    data: Dataset,
    question: Question,
    out: Path | None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Record:
    """Answer a question about an open network (`question.backend` does not count here).

    Until all of it is there the record says what is pending, and no report is made of it.
    A confirmation that differs is *in* the record (`confirm.require_identical` raises on it).

    Raises:
        BadInput: see `evaluation.evaluate`; nothing was written then. Or nobody's network.
        BackendError: a target failed; finished shards stay for `resume`.
    """
    network = attacked.network
    if network is None:
        raise BadInput("classifier: belongs to no network with a card; open one (`Network.open`)")
    if out is not None:
        find_target(attacked.backend.name)  # before any work: the page will say what it is
    with (
        nullcontext() if out is None else locked(out),
        _stored(out, question) as directory,
    ):
        if question.confirm is not None:
            _confirmable(network, question, question.confirm)
        if question.against is not None:
            planned(question.against, attacked, data, question.compared, question.compare_with)
        record = evaluate(
            attacked,
            data,
            budgets=question.budgets,
            attacks=question.attacks,
            seed=question.seed,
            seeds=question.seeds,
            draws=question.draws,
            minimum=question.minimum,
            targeted=question.targeted,
            control=question.control,
            validation=question.validation,
            out=directory,
            resume=resume,
            overwrite=overwrite,
            progress=progress,
            command=question.command,
            pending=_pending(question),
        )
        later = question.confirm is not None or question.against is not None
        samples = load_samples(directory) if later and directory is not None else {}
        if question.confirm is not None:
            with _second(network, question, question.confirm) as second:
                confirmed = confirm(
                    record, samples, attacked, second, question.confirm.samples, progress
                )
            record = record.model_copy(update={"confirmed": confirmed})
        if question.against is not None:
            compared = compare(
                question.against,
                attacked,
                data,
                epsilons=question.compared,
                attack=question.compare_with,
                seed=question.seed,
                draws=question.draws,
                samples=samples,
                progress=progress,
            )
            record = record.model_copy(update={"comparison": compared})
    record = record.model_copy(update={"parity": question.parity, "pending": ()})
    record = record.model_copy(update={"flags": tuple(flags(record))})
    if out is not None:
        write_record(out, record)
        write_report(out)
    return record


def float_classifier(run: Path | BlockNetwork, network: Network) -> Classifier:
    """The network of a training run before rounding, fed and read as the deployed one is.

    Args:
        run: a training run's directory, or a network of the user's own (`networks.adopt`).
        network: the deployed one.

    Raises:
        BadInput: not a finished run, or a network of another architecture.
    """
    from neurorobust.backends.slayer.backend import SlayerBackend
    from neurorobust.training import load_run

    trained = load_run(run)[0] if isinstance(run, Path) else run
    backend = SlayerBackend(trained, precision="float")
    where = str(run) if isinstance(run, Path) else "network"
    given, wanted = backend.model.input_shape, network.model.input_shape
    if given != wanted or backend.model.outputs != network.model.outputs:
        raise BadInput(
            f"{where}: takes {given} and has {backend.model.outputs} classes, the .net file takes "
            f"{wanted} and has {network.model.outputs}"
        )
    return network.classifier(backend)


def _second(
    network: Network, question: Question, confirm: Confirm
) -> AbstractContextManager[Backend]:
    """The target that confirms; the engine then runs on the CPU."""
    settings = replace(question.settings, device="cpu")
    return open_backend(confirm.backend, network.model, settings)


def _confirmable(network: Network, question: Question, confirm: Confirm) -> None:
    """Refuse, before any work, what could not be confirmed after it.

    Raises:
        BadInput: no attack whose samples could be replayed, or the second target is not there.
    """
    if confirm.samples < 1:
        raise BadInput(f"confirm: {confirm.samples} samples, need at least 1")
    if not question.attacks:
        raise BadInput(
            f"confirm {confirm.backend}:{confirm.samples}: no attack was asked for, and only its "
            "samples are replayed; give attacks and a budget"
        )
    with _second(network, question, confirm):
        pass


def _pending(question: Question) -> tuple[str, ...]:
    """What follows the evaluation itself."""
    wanted = {
        "confirmation": question.confirm is not None,
        "comparison": question.against is not None,
        "flags": True,
    }
    return tuple(name for name, asked in wanted.items() if asked)


@contextmanager
def _stored(out: Path | None, question: Question) -> Iterator[Path | None]:
    """What replays or compares takes stored samples: without `out` stored for the moment."""
    if out is not None or (question.confirm is None and question.against is None):
        yield out
        return
    folder = Path(tempfile.mkdtemp(prefix="neurorobust-"))
    try:
        yield folder / "record"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
