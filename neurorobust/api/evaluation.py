"""Attack, evaluate, compare: what an adversary reaches within a budget."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neurorobust import attacks as registry
from neurorobust import datasets
from neurorobust.api.assessments import ask
from neurorobust.assess.assess import Setup, assess_classifier
from neurorobust.assess.compare import compare as compare_classifiers
from neurorobust.attacks import Attack
from neurorobust.attacks.recipe import Recipe
from neurorobust.backends.registry import Settings
from neurorobust.budgets import KINDS
from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput
from neurorobust.evaluation import DRAWS, Progress, Request
from neurorobust.evaluation.compatibility import check_fit, check_jobs
from neurorobust.evaluation.draws import Draws
from neurorobust.evaluation.jobs import Job
from neurorobust.evaluation.query import one_thread
from neurorobust.evaluation.trial import trial
from neurorobust.records import Comparison
from neurorobust.report.result import Result
from neurorobust.support.names import unknown
from neurorobust.types import Labels

Typed = str | float | Sequence[str | float]
Data = Any  # a Dataset, arrays (x, y), a torch Dataset or DataLoader: see `datasets.of`


@dataclass(frozen=True)
class Found:
    """What an attack came to, projected into the budget, run again and scored. First axis: batch.

    Attributes:
        x: the adversarial inputs, inside the budget.
        success: bool; the network was right of the untouched sample and is wrong of this one.
        clean, predicted: int64, the answers before and after.
        failed: bool; the proposal was not finite, not binary or of a wrong shape.
        outside: bool; the proposal lay outside the budget and was projected.
        seconds: of the attack.
        queries: samples that it ran through the network.
    """

    x: Tensor
    success: Tensor
    clean: Labels
    predicted: Labels
    failed: Tensor
    outside: Tensor
    seconds: float
    queries: int


def attack(
    classifier: Classifier,
    x: Tensor,
    y: Labels,
    name: str | Attack,
    *,
    seed: int = 0,
    draws: int = DRAWS,
    **budget: Typed,
) -> Found:
    """Attack a batch; the proposal is projected, run again and scored here: it never grades itself.

    Args:
        classifier: an open network.
        x: images float `[batch, C, H, W]` in [0, 1], or spikes 0/1 `[batch, C, H, W, time]`.
        y: true classes `[batch]`.
        name: of the attack (`neurorobust attacks` lists them), or an attack.
        seed: of everything random.
        draws: of an encoder that draws: so many select, as many score.
        budget: one, by its kind, as on the command line or as a number: `eps="8/255"` and
            `eps="l2:0.5"` on pixels; `flips=10`, `shifts="reach=2"`, `patches="5x5"` on spikes.

    Raises:
        BadInput: not exactly one budget, one that the attack does not take, or data that do not
            fit the network.

    Example:
        >>> data = datasets.load("digits")
        >>> with load("digits-mlp").open() as classifier:
        ...     found = attack(classifier, *data[:8], "pgd-linf", eps="0.1")
        >>> found.success.shape
        torch.Size([8])
    """
    data = datasets.of((x, y), classes=classifier.backend.model.outputs)
    x, labels = data.batch(0, len(data))
    chosen = registry.find(name) if isinstance(name, str) else name
    given = typed_by_kind(budget)
    typed = [(kind, text) for kind, texts in given.items() for text in texts]
    if len(typed) != 1:
        raise BadInput(f"attack {chosen.name}: {len(typed)} budgets given, need exactly one")
    kind, text = typed[0]
    if kind != chosen.kind:
        raise BadInput(f"attack {chosen.name}: takes {chosen.kind}, given {kind}")
    job = Job(kind, text, KINDS[kind].parse(text), chosen, chosen.name, seed=seed)
    check_fit(classifier, data)
    check_jobs(classifier, data, (job,))
    drawing = Draws(seed, 0, draws)
    with one_thread():  # as in an evaluation: the same floats on any number of cores
        target, start, clean = classifier, x, drawing.score(classifier, x, labels)
        if job.domain != classifier.encoder.domain:
            target, start, clean = drawing.on_spikes(classifier, x, labels, clean.drawn)
        made = trial(target, start, labels, clean, job, drawing, torch.arange(len(x)))
    return Found(
        x=made.adversarial,
        success=made.broken & clean.standing,
        clean=clean.predicted,
        predicted=made.scored.predicted,
        failed=made.failed,
        outside=made.outside,
        seconds=made.seconds,
        queries=made.queries,
    )


def evaluate(
    classifier: Classifier,
    data: Data,
    attacks: str | Attack | Recipe | Sequence[str | Attack | Recipe] = (),
    *,
    seed: int = 0,
    seeds: int = 1,
    draws: int = DRAWS,
    minimum: bool = False,
    targeted: bool = False,
    control: bool = True,
    validation: Data | None = None,
    confirm: str | None = None,
    settings: Settings | None = None,
    against: Classifier | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    **budgets: Typed,
) -> Result:
    """What a deployed network gets right, untouched and attacked; `neurorobust evaluate`.

    Args:
        classifier: an open network (`Network.open`), which knows its card.
        data: a `Dataset`, or what `datasets.of` takes.
        attacks: `"standard"`, names, attacks; none: clean accuracy only.
        seed: of everything random.
        seeds: attack from so many.
        draws: of an encoder that draws: so many select a proposal, as many score it.
        minimum: also find the smallest budget that breaks each sample.
        targeted: also attack towards a random wrong class.
        control: run blind noise of the same size beside the attacks.
        validation: samples on which a recipe chooses its strongest backward mode; None: it takes
            its first one, and a red flag says so.
        confirm: `"lava:16"`: replay so many adversarial samples on another target; whether they
            came out equal is in the record (`confirmed.holds`).
        settings: how that target runs.
        against: the float network, to compare with (the 2x2), at the first kind of budget.
        out: a folder that keeps record, samples and page; None: kept as long as the result is.
        resume: go on with what an interrupted run left in `out`.
        overwrite: replace what lies there.
        progress: told (done, total, what).
        budgets: by kind, one or several, as on the command line or as numbers: `eps=["8/255", 0.1]`
            on pixels; on spikes `flips=[5, 10]` that may be made or deleted, `shifts="reach=2"`
            that may move in time, `patches="5x5"` for a rectangle of the sensor.

    Raises:
        BadInput: settings that contradict each other, the network or the data (before any work).
        BackendError: a target failed.

    Example:
        >>> data = datasets.load("digits", limit=20)
        >>> with load("digits-mlp").open() as classifier:
        ...     result = evaluate(classifier, data, "random", eps=0.1)
        >>> result.record.clean.total
        20
    """
    if isinstance(attacks, str) or not isinstance(attacks, Sequence):
        attacks = (attacks,)
    given = typed_by_kind(budgets)
    if against is not None and not given:
        raise BadInput("against: a comparison needs a budget, give for example eps=0.1")
    request = ask(
        attacks,
        given,
        seed=seed,
        seeds=seeds,
        draws=draws,
        minimum=minimum,
        targeted=targeted,
        control=control,
        confirm=confirm or "",
        compare_with=None if against is None else KINDS[next(iter(given))].compared_by,
    )
    setup = Setup(
        settings=settings or Settings(),
        validation=None if validation is None else datasets.of(validation),
        against=against,
    )
    if out is not None and not str(out):
        raise BadInput("out: empty, need a folder; '.' for the current one")
    own = datasets.of(data, classes=classifier.backend.model.outputs)
    folder = Path(tempfile.mkdtemp(prefix="neurorobust-") if out is None else out)
    try:
        record = assess_classifier(
            classifier, own, request, folder, setup, resume, overwrite, progress
        )
    except BaseException:
        if out is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return Result(record, folder, temporary=out is None)


def compare(
    trained: Classifier,
    deployed: Classifier,
    data: Data,
    name: str = "pgd-linf",
    *,
    seed: int = 0,
    draws: int = DRAWS,
    progress: Progress | None = None,
    **budgets: Typed,
) -> tuple[Comparison, ...]:
    """Float against deployed: who breaks on what was crafted on whom, one 2x2 a budget.

    Args:
        trained: the float network (`float_side`).
        deployed: the same network as integers.
        data: see `evaluate`.
        name: of an attack that uses gradients.
        seed: of everything random.
        draws: see `evaluate`.
        progress: told (done, total, what).
        budgets: of the attack's kind, see `evaluate`.

    Raises:
        BadInput: budgets of another kind; or see `assess.compare.compare`.

    Example:
        >>> data = datasets.load("digits", limit=16)
        >>> network = load("digits-mlp")
        >>> with network.open() as first, network.open() as second:
        ...     found = compare(first, second, data, eps="0.1")
        >>> found[0].flips
        0
    """
    given = typed_by_kind(budgets)
    kind = registry.find(name).kind
    others = [each for each in given if each != kind]
    if others:
        raise BadInput(f"attack {name}: takes {kind}, given {', '.join(others)}")
    own = datasets.of(data, classes=deployed.backend.model.outputs)
    request = Request((name,), given, seed, draws=draws, control=False, compare_with=name)
    return compare_classifiers(trained, deployed, own, request, progress=progress)


def typed_by_kind(given: Mapping[str, Typed]) -> dict[str, tuple[str, ...]]:
    """Budgets as typed, by kind and in the order of kinds; without kinds that have none.

    Raises:
        BadInput: a name that is no kind of budget.
    """
    for name in given:
        if name not in KINDS:
            raise BadInput(unknown("argument or kind of budget", name, KINDS))
    found = {kind: _typed(given.get(kind, ())) for kind in KINDS}
    return {kind: texts for kind, texts in found.items() if texts}


def _typed(values: Typed) -> tuple[str, ...]:
    """Texts as on the command line, of texts or numbers; None is no budget.

    Raises:
        BadInput: something else.
    """
    if values is None:
        return ()
    listed: list[object] = [values]
    if isinstance(values, Iterable) and not isinstance(values, (str, bytes)):
        listed = list(values)
    for value in listed:
        if not isinstance(value, (str, Real)) or isinstance(value, bool):
            raise BadInput(f"budget {value!r}: is {type(value).__name__}, need a text or a number")
    texts = [part for value in listed for part in str(value).split(",")]
    return tuple(text.strip() for text in texts if text.strip())
