"""Ask a network for a fault: checked before any work, then done or resumed, with a record."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

from neurorobust import netx
from neurorobust.backends.engine import EngineBackend
from neurorobust.classifier import Classifier, Network
from neurorobust.datasets import Dataset
from neurorobust.datasets.apart import check_learnt
from neurorobust.errors import BadInput, OutputError
from neurorobust.evaluation import check_fit
from neurorobust.evaluation.folder import RECORD, SAMPLES
from neurorobust.evaluation.kept import Count, Progress
from neurorobust.evaluation.store import Store
from neurorobust.faults.record import RECORDS, FaultRecord, read_fault
from neurorobust.faults.request import FaultRequest, Task
from neurorobust.faults.written import Written
from neurorobust.netx.write import serialise
from neurorobust.provenance import now, provenance
from neurorobust.support import files
from neurorobust.support.lock import locked
from neurorobust.support.version import __version__


def examine(
    request: FaultRequest,
    classifier: Classifier,
    data: Dataset,
    known: Dataset | None = None,
    *,
    out: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    command: str = "",
) -> FaultRecord:
    """Do what a request asks; the record is the same however often it was interrupted.

    Args:
        request: a fault and its settings.
        classifier: an open network with a card, on the engine.
        data: what is scored.
        known: samples for the adversary to learn from, none of `data`, where the request learns.
        out: directory of the result (see the package); None: only the record is kept.
        resume: go on with what a run with the same settings left in `out`.
        overwrite: remove what lies in `out`.
        progress: told (done, total, what) after every piece of the work.
        command: the command line, for the record.

    Raises:
        BadInput: nobody's network, another backend, data that do not fit, or a request that cannot
            be asked (before any work).
        OutputError: `out` cannot be written, is in use, or already holds a result (before any
            work).
        KeyboardInterrupt: Ctrl-C; says how much is kept.
    """
    request.check()
    network = classifier.network
    if network is None:
        raise BadInput("faults: the classifier belongs to no network with a card")
    if not isinstance(classifier.backend, EngineBackend):
        raise BadInput(f"faults: needs the engine, not {classifier.backend.name}")
    check_fit(classifier, data)
    if request.learns:
        if known is None or not len(known):
            raise BadInput(f"faults {request.fault}: no samples for the adversary to learn from")
        check_fit(classifier, known)
        check_learnt(data, known)
    if out is None:
        with tempfile.TemporaryDirectory(prefix="neurorobust-") as folder:
            return _examine(request, classifier, network, data, known, Path(folder), False, False,
                            progress, command)  # fmt: skip
    with locked(out):
        return _examine(request, classifier, network, data, known, out, resume, overwrite,
                        progress, command)  # fmt: skip


def _examine(
    request: FaultRequest,
    classifier: Classifier,
    network: Network,
    data: Dataset,
    known: Dataset | None,
    out: Path,
    resume: bool,
    overwrite: bool,
    progress: Progress | None,
    command: str,
) -> FaultRecord:
    """The same, with `out` locked."""
    said: dict[str, Any] = {
        "fault": request.fault,
        "model": network.name,
        "sha256": network.model.sha256,
        "card": network.card,
        "backend": classifier.backend.name,
        "target": classifier.backend.about,
        "dataset": data.name,
        "samples": len(data),
        "data": data.digest(),
        "seed": request.seed,
    }
    if request.learns and known is not None:
        said |= {"known": len(known), "known_data": known.digest()}
    wanted = {
        **{name: value for name, value in said.items() if name not in ("sha256", "target")},
        "version": __version__,
        "model": network.model.sha256,
        "card": network.card.model_dump(mode="json"),
        "request": dataclasses.asdict(request),  # type: ignore[call-overload]
        "files": list(request.files()),
    }
    written = Written.read(out)
    earlier = written.networks()
    for name in request.files():
        if _there(out / name) and name not in earlier:
            raise OutputError(
                f"{out / name}: not written by faults as it is, and never replaced; move it, or "
                "choose another --out"
            )
    if network.model.sha256 in earlier.values():
        raise OutputError(f"{out}: holds the network that is asked about; choose another --out")
    store = Store(out, wanted, resume, overwrite)
    if overwrite:
        written.remove(earlier)
    if store.finished:
        written.require((RECORD, SAMPLES))
        store.clean_up()
        return read_fault(out)
    started, clock = now(), time.perf_counter()
    count = Count(request.jobs(data, known), progress)
    kept = store.kept(0, count)
    try:
        found = request.work(Task(classifier, data, known, kept, request.seed))
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(f"{kept.done} of {count.total} pieces are kept") from error
    seconds = time.perf_counter() - clock
    where = provenance(command, started, seconds, classifier.backend.measured())
    record = RECORDS[request.fault](**said, **found.fields, provenance=where)
    for name, model in found.networks.items():
        written.note(name, serialise(model))
        netx.write(model, out / name)
    files.write_npz(out / SAMPLES, {"label": data.y.numpy(), **found.arrays})
    written.note(SAMPLES)
    text = record.model_dump_json(indent=2) + "\n"
    written.note(RECORD, text.encode())
    files.write_text(out / RECORD, text)
    store.clean_up()
    return record


def _there(path: Path) -> bool:
    """Whether anything has that name, a broken link too."""
    return path.exists() or path.is_symlink()
