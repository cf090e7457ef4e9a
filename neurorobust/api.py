"""The front door: one function a verb, for those who call from Python."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neurorobust import attacks as registry
from neurorobust import datasets, models
from neurorobust.assess.assess import Setup, assess_classifier
from neurorobust.assess.compare import compare as compare_classifiers
from neurorobust.attacks import Attack
from neurorobust.attacks.recipe import Recipe
from neurorobust.backends.parity import parity as compare_backends
from neurorobust.backends.registry import Settings, parse_replay
from neurorobust.budgets import KINDS
from neurorobust.classifier import Classifier, Network
from neurorobust.errors import BadInput
from neurorobust.evaluation import DRAWS, Confirm, Progress, Request
from neurorobust.evaluation.compatibility import check_fit, check_jobs
from neurorobust.evaluation.draws import Draws
from neurorobust.evaluation.jobs import Job
from neurorobust.evaluation.query import one_thread
from neurorobust.evaluation.trial import trial
from neurorobust.records import Card, Comparison, ParityResult
from neurorobust.report.result import Result
from neurorobust.support.names import unknown
from neurorobust.types import Labels
from neurorobust.verify.lint import Verdict, lint

Typed = str | float | Sequence[str | float]
Data = Any  # a Dataset, arrays (x, y), a torch Dataset or DataLoader: see `datasets.of`


def load(reference: str | Path, card: Card | Path | str | None = None) -> Network:
    """A network with its card.

    Args:
        reference: a name (`neurorobust models` lists them), or the path of a `.net` file.
        card: in place of the one that lies beside the file; a card or the path of one.

    Raises:
        BadInput: neither a name nor a file.
        CardError: no card, or one of another network.
        ModelFileError: the file cannot be read.

    Example:
        >>> load("digits-mlp").card.readout
        'count'
    """
    described = models.read_card(Path(card)) if isinstance(card, (str, Path)) else card
    return models.resolve(str(reference), described)


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
    given = _budgets(budget)
    typed = [(kind, text) for kind, texts in given.items() for text in texts]
    if len(typed) != 1:
        raise BadInput(f"attack {chosen.name}: {len(typed)} budgets given, need exactly one")
    kind, text = typed[0]
    if kind != chosen.kind:
        raise BadInput(f"attack {chosen.name}: takes {chosen.kind}, given {kind}")
    job = Job(kind, text, KINDS[kind].parse(text), chosen, chosen.name, seed=seed)
    check_fit(classifier, data)
    check_jobs(classifier, data, (job,))
    judged = Draws(seed, 0, draws)
    with one_thread():  # as in an evaluation: the same floats on any number of cores
        target, start, clean = classifier, x, judged.judge(classifier, x, labels)
        if job.domain != classifier.encoder.domain:
            target, start, clean = judged.on_spikes(classifier, x, labels, clean.drawn)
        made = trial(target, start, labels, clean, job, judged, torch.arange(len(x)))
    return Found(
        x=made.adversarial,
        success=made.broken & clean.standing,
        clean=clean.predicted,
        predicted=made.judged.predicted,
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
    given = _budgets(budgets)
    if against is not None and not given:
        raise BadInput("against: a comparison needs a budget, give for example eps=0.1")
    request = Request(
        attacks=attacks,
        budgets=given,
        seed=seed,
        seeds=seeds,
        draws=draws,
        minimum=minimum,
        targeted=targeted,
        control=control,
        confirm=None if confirm is None else Confirm(*parse_replay("confirm", confirm)),
        compare_with=None if against is None else KINDS[next(iter(given))].compared_by,
    )
    setup = Setup(
        settings=settings or Settings(),
        validation=None if validation is None else datasets.of(validation),
        against=against,
    )
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
        trained: the float network (`assess.assess.float_classifier`).
        deployed: the same network as integers.
        data: see `evaluate`.
        name: of an attack that uses gradients.
        seed: of everything random.
        draws: see `evaluate`.
        progress: told (done, total, what).
        budgets: of the attack's kind, see `evaluate`.

    Raises:
        BadInput: budgets of another kind; or see `assess.compare.compare`.
    """
    given = _budgets(budgets)
    kind = registry.find(name).kind
    others = [each for each in given if each != kind]
    if others:
        raise BadInput(f"attack {name}: takes {kind}, given {', '.join(others)}")
    own = datasets.of(data, classes=deployed.backend.model.outputs)
    request = Request((name,), given, seed, draws=draws, control=False, compare_with=name)
    return compare_classifiers(trained, deployed, own, request, progress=progress)


def parity(
    first: Classifier, second: Classifier, x: Tensor, *, seed: int = 0, layers: bool = True
) -> ParityResult:
    """The same inputs on two backends: identical, or the first layer, sample, neuron and step.

    Args:
        first: an open network; its encoder makes the inputs.
        second: the same network on another backend.
        x: what the encoder takes.
        seed: of an encoder that draws.
        layers: compare u and v of every layer too; else spikes alone.

    Raises:
        BadInput: no sample, or networks of different layers.
        BackendError: a backend failed.
    """
    inputs = first.encoder.encode(x, torch.Generator().manual_seed(seed))
    variables = ("spikes", "u", "v") if layers else ("spikes",)
    return compare_backends(first.backend, second.backend, inputs, variables=variables)


def check(reference: str | Path, card: Card | None = None, steps: int | None = None) -> Verdict:
    """Which rules of a deployment a network breaks, and whether it fits a chip.

    Args:
        reference: a name, or the path of a `.net` file.
        card: how it is fed and read; None: the one that it has.
        steps: time steps of a sample, where no card says so.

    Raises:
        BadInput: neither a name nor a file.
    """
    return lint(str(reference), card, steps)[0]


def _budgets(given: Mapping[str, Typed]) -> dict[str, tuple[str, ...]]:
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
    """Texts as on the command line, of texts or numbers."""
    if isinstance(values, (str, int, float)):
        values = [values]
    texts = [part for value in values for part in str(value).split(",")]
    return tuple(text.strip() for text in texts if text.strip())
