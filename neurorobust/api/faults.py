"""Adversaries of the deployment: weight bits, state left behind, inputs that overflow or cost."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neurorobust import datasets
from neurorobust.attacks.modes import PLAIN
from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput
from neurorobust.evaluation import Progress
from neurorobust.faults.bits_request import COUNTS, BitsRequest
from neurorobust.faults.examine import examine
from neurorobust.faults.inputs_request import InputsRequest
from neurorobust.faults.leak_request import LeakRequest
from neurorobust.faults.request import FaultRequest
from neurorobust.report.result import FaultResult

Data = Any  # see `datasets.of`


def fault_bits(
    classifier: Classifier,
    data: Data,
    known: Data,
    bits: Sequence[int] = COUNTS,
    *,
    candidates: int = 4,
    repeats: int = 5,
    mode: str = PLAIN.name,
    seed: int = 0,
    out: Path | str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    command: str = "",
) -> FaultResult:
    """Flip the weight bits that hurt most, and as many at random: accuracy over their number.

    Args:
        classifier: an open network, on the engine.
        data: what is scored: a `Dataset`, or what `datasets.of` takes.
        known: samples that the adversary has; none of `data`.
        bits: numbers of flipped bits.
        candidates: bits of each matrix tried in a round of the search.
        repeats: repetitions of the random control.
        mode: name of the search's backward mode.
        seed: of everything random.
        out: a folder for record, arrays, page and the flipped networks; None: kept as long as the
            result is.
        resume: go on with what an interrupted run left in `out`.
        overwrite: replace what lies there.
        progress: told (done, total, what).
        command: how it was asked, for the record.

    Raises:
        BadInput: a number below 1, an unknown mode, another backend, or data that do not fit.
        OutputError: `out` holds a result, is in use, or cannot be written.

    Example:
        >>> data = datasets.load("digits", limit=40)
        >>> with load("digits-mlp").open() as classifier:
        ...     found = fault_bits(classifier, data[:20], data[20:], bits=[1], repeats=1)
        >>> [row.bits for row in found.record.rows]
        [0, 1]
    """
    request = BitsRequest(tuple(bits), candidates, repeats, mode, seed)
    return _asked(request, classifier, data, known, out, resume, overwrite, progress, command)


def fault_leak(
    classifier: Classifier,
    data: Data,
    known: Data,
    *,
    rounds: int = 100,
    seed: int = 0,
    out: Path | str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    command: str = "",
) -> FaultResult:
    """Choose the sample before so that what it leaves behind spoils the next answer.

    Args:
        classifier: an open network, on the engine.
        data: the victims: a `Dataset`, or what `datasets.of` takes.
        known: natural samples to come before; none of `data`.
        rounds: queries a victim while crafting.
        seed: of everything random.
        out: a folder for record, arrays and page; None: kept as long as the result is.
        resume: go on with what an interrupted run left in `out`.
        overwrite: replace what lies there.
        progress: told (done, total, what).
        command: how it was asked, for the record.

    Raises:
        BadInput: rounds below 0, another backend, or data that do not fit.
        OutputError: `out` holds a result, is in use, or cannot be written.

    Example:
        >>> data = datasets.load("digits", limit=12)
        >>> with load("digits-mlp").open() as classifier:
        ...     found = fault_leak(classifier, data[:8], data[8:], rounds=2)
        >>> [row.regime for row in found.record.rows]
        ['none', 'staggered', 'at-once']
    """
    request = LeakRequest(rounds, seed)
    return _asked(request, classifier, data, known, out, resume, overwrite, progress, command)


def fault_inputs(
    classifier: Classifier,
    data: Data,
    objective: str,
    *,
    rounds: int = 20,
    seed: int = 0,
    out: Path | str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    command: str = "",
    **budget: str | float | None,
) -> FaultResult:
    """Attack what a network costs and where its integers end, within a budget on its input.

    Args:
        classifier: an open network, on the engine.
        data: what is attacked: a `Dataset`, or what `datasets.of` takes.
        objective: `overflow` of the current, `energy` (synaptic operations), or `truncation`
            (right on the aligned clock, wrong on the global one).
        rounds: gradients of the search.
        seed: of everything random.
        out: a folder for record, arrays and page; None: kept as long as the result is.
        resume: go on with what an interrupted run left in `out`.
        overwrite: replace what lies there.
        progress: told (done, total, what).
        command: how it was asked, for the record.
        budget: exactly one, by its kind, as typed or as a number: `eps="8/255"` or `flips=10`.

    Raises:
        BadInput: not exactly one budget, one that no attack on the objective takes, an unknown
            objective, another backend, or data that do not fit.
        OutputError: `out` holds a result, is in use, or cannot be written.

    Example:
        >>> data = datasets.load("digits", limit=8)
        >>> with load("digits-mlp").open() as classifier:
        ...     found = fault_inputs(classifier, data, "energy", eps=0.1, rounds=2)
        >>> list(found.record.rows)
        ['clean', 'random', 'energy']
    """
    given = {kind: str(typed) for kind, typed in budget.items() if typed not in (None, "")}
    if len(given) != 1:
        raise BadInput("faults inputs: needs one budget, --eps or --flips")
    ((kind, typed),) = given.items()
    request = InputsRequest(objective, kind, typed, rounds, seed)
    return _asked(request, classifier, data, None, out, resume, overwrite, progress, command)


def _asked(
    request: FaultRequest,
    classifier: Classifier,
    data: Data,
    known: Data,
    out: Path | str | None,
    resume: bool,
    overwrite: bool,
    progress: Progress | None,
    command: str,
) -> FaultResult:
    """Examined in a folder, with its page."""
    classes = classifier.backend.model.outputs
    folder = Path(tempfile.mkdtemp(prefix="neurorobust-") if out is None else out)
    try:
        record = examine(
            request,
            classifier,
            datasets.of(data, classes=classes),
            None if known is None else datasets.of(known, classes=classes),
            out=folder,
            resume=resume,
            overwrite=overwrite,
            progress=progress,
            command=command,
        )
        result = FaultResult(record, folder, temporary=out is None)
        if out is not None:
            result.report()
    except BaseException:
        if out is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return result
