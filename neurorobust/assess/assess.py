"""One deployed network, start to end: score, attack, compare, confirm, flag, write, report."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurorobust.assess.compare import compare, planned
from neurorobust.assess.confirm import confirm
from neurorobust.backends.base import Backend
from neurorobust.backends.registry import Settings, find_target, open_backend
from neurorobust.checks import flags
from neurorobust.classifier import Classifier, Network
from neurorobust.datasets import Dataset
from neurorobust.errors import BadInput
from neurorobust.evaluation import (
    Confirm,
    Progress,
    Request,
    evaluate,
    load_samples,
    write_record,
)
from neurorobust.records import ParityResult, Record
from neurorobust.report import write_report
from neurorobust.support.lock import locked

if TYPE_CHECKING:
    from neurorobust.networks.block_network import BlockNetwork


@dataclass(frozen=True)
class Setup:
    """Where an assessment runs, and what it is given beside network, data and request.

    Attributes:
        backend, settings: the target that is attacked, and how it (and Lava, confirming) runs.
        validation: see `evaluation.evaluate`.
        against: the float network that `Request.compare_with` compares with.
        parity: results of earlier parity checks, to stand in the record.
        command: the command line, for the record.
    """

    backend: str = "engine"
    settings: Settings = field(default_factory=Settings)
    validation: Dataset | None = None
    against: Classifier | None = None
    parity: tuple[ParityResult, ...] = ()
    command: str = ""


DEFAULT = Setup()


def assess(
    network: Network,
    data: Dataset,
    request: Request,
    out: Path | None,
    setup: Setup = DEFAULT,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Record:
    """Do what is asked; with `out`, leave record.json, samples.npz and report.html there.

    See `assess_classifier`; the backend is opened here.
    """
    with (
        nullcontext() if out is None else locked(out),
        network.open(setup.backend, setup.settings) as attacked,
    ):
        return assess_classifier(attacked, data, request, out, setup, resume, overwrite, progress)


def assess_classifier(
    attacked: Classifier,
    data: Dataset,
    request: Request,
    out: Path | None,
    setup: Setup = DEFAULT,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Record:
    """Do what is asked of an open network (`setup.backend` does not count here).

    Until all of it is there the record says what is pending, and no report is made of it.
    A confirmation that differs is *in* the record (`confirm.require_identical` raises on it).

    Raises:
        BadInput: see `evaluation.evaluate`; nothing was written then. Or nobody's network, or a
            comparison without the network to compare with.
        BackendError: a target failed; finished shards stay for `resume`.
    """
    network = attacked.network
    if network is None:
        raise BadInput("classifier: belongs to no network with a card; open one (`Network.open`)")
    if out is not None:
        find_target(attacked.backend.name)  # before any work: the page will say what it is
    against = setup.against
    if (against is None) != (request.compare_with is None):
        raise BadInput("compare_with: needs the float network `against`, and that needs an attack")
    with (
        nullcontext() if out is None else locked(out),
        _stored(out, request) as directory,
    ):
        if request.confirm is not None:
            _confirmable(network, request, request.confirm, setup.settings)
        if against is not None:
            planned(against, attacked, data, request)
        record = evaluate(
            attacked,
            data,
            request,
            validation=setup.validation,
            out=directory,
            resume=resume,
            overwrite=overwrite,
            progress=progress,
            command=setup.command,
            pending=_pending(request),
        )
        samples = load_samples(directory) if _later(request) and directory is not None else {}
        if request.confirm is not None:
            with _second(network, request.confirm, setup.settings) as second:
                confirmed = confirm(
                    record, samples, attacked, second, request.confirm.samples, progress
                )
            record = record.model_copy(update={"confirmed": confirmed})
        if against is not None:
            compared = compare(against, attacked, data, request, samples, progress)
            record = record.model_copy(update={"comparison": compared})
    whole = {"request": _asked(record, request), "parity": setup.parity, "pending": ()}
    record = record.model_copy(update=whole)
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
    network: Network, confirm: Confirm, settings: Settings
) -> AbstractContextManager[Backend]:
    """The target that confirms; the engine then runs on the CPU."""
    return open_backend(confirm.backend, network.model, replace(settings, device="cpu"))


def _confirmable(network: Network, request: Request, confirm: Confirm, settings: Settings) -> None:
    """Refuse, before any work, what could not be confirmed after it.

    Raises:
        BadInput: no attack whose samples could be replayed, or the second target is not there.
    """
    if confirm.samples < 1:
        raise BadInput(f"confirm: {confirm.samples} samples, need at least 1")
    if not request.attacks:
        raise BadInput(
            f"confirm {confirm.backend}:{confirm.samples}: no attack was asked for, and only its "
            "samples are replayed; give attacks and a budget"
        )
    with _second(network, confirm, settings):
        pass


def _asked(record: Record, request: Request) -> dict[str, Any]:
    """What the record answers: what it was asked first, and what was asked beside it now."""
    if not record.request:
        return {}  # of version 1, which did not keep it
    beside = {"confirm": request.confirm, "compare_with": request.compare_with}
    now = request.plain()
    return dict(record.request) | {name: now[name] for name, asked in beside.items() if asked}


def _later(request: Request) -> bool:
    """Whether something follows that takes the stored samples."""
    return request.confirm is not None or request.compare_with is not None


def _pending(request: Request) -> tuple[str, ...]:
    """What follows the evaluation itself."""
    wanted = {
        "confirmation": request.confirm is not None,
        "comparison": request.compare_with is not None,
        "flags": True,
    }
    return tuple(name for name, asked in wanted.items() if asked)


@contextmanager
def _stored(out: Path | None, request: Request) -> Iterator[Path | None]:
    """What replays or compares takes stored samples: without `out` stored for the moment."""
    if out is not None or not _later(request):
        yield out
        return
    folder = Path(tempfile.mkdtemp(prefix="neurorobust-"))
    try:
        yield folder / "record"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
