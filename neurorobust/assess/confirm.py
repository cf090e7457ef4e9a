"""Adversarial samples replayed on another target: the same inputs, compared spike for spike."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurorobust.backends.base import Backend
from neurorobust.budgets import KINDS
from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput, CheckFailed
from neurorobust.evaluation import Progress
from neurorobust.evaluation.query import unpack
from neurorobust.records import Confirmation, Record
from neurorobust.types import Inputs, Run

AT_ONCE = 4  # queries a run: Lava takes a while for each, and somebody waits


@dataclass(frozen=True)
class Case:
    """One scored query: sample `index` under `attack` at the budget `key` (as `eps=0.1`).

    domain: `images` or `spikes`: what was perturbed.
    """

    key: str
    domain: str
    attack: str
    index: int
    broken: bool

    def __str__(self) -> str:
        return f"sample {self.index}, {self.attack} at {self.key}"


def confirm(
    record: Record,
    samples: Mapping[str, Any],
    classifier: Classifier,
    other: Backend,
    count: int,
    progress: Progress | None = None,
) -> Confirmation:
    """Replay scored queries on another target.

    The inputs are those that were scored, drawn spikes included. Every spike of the output layer
    must agree, and its membrane after the last step where the readout uses it; and the classifier
    must still give the label that was scored.

    Args:
        record: of the evaluation.
        samples: its `samples.npz`.
        classifier: the one evaluated.
        other: the target that confirms.
        count: how many queries in total, over all budgets: successful adversarials first, then
            others, in turn over budgets and attacks; fewer where there are not so many.
        progress: told (done, total, what) as queries are replayed.

    Raises:
        BadInput: count below 1, or a record without attacks.
        BackendError: a target failed.
    """
    if count < 1:
        raise BadInput(f"confirm: {count} samples, need at least 1")
    cases = choose(record, samples, count)
    if not any(_jobs(record)):
        raise BadInput("confirm: nothing to replay, the record holds no attack")
    identical, done, seconds = 0, 0, 0.0
    first = None if cases else "nothing to replay, no attack proposed what can be scored"
    if progress is not None and cases:
        progress(0, len(cases), f"replaying in {other.name}")
    for batch in _batches(cases):
        inputs = _inputs(classifier, samples, batch)
        ours = classifier.backend.run(inputs)
        begun = time.perf_counter()
        theirs = other.run(inputs)
        seconds += time.perf_counter() - begun
        labels = classifier.readout.labels(ours).tolist()
        for row, case in enumerate(batch):
            scored = int(samples[f"predicted/{case.key}/{case.attack}"][case.index])
            names = (classifier.backend.name, other.name)
            difference = _difference(ours, theirs, row, names, classifier.readout.decoding.membrane)
            if labels[row] != scored:
                difference = f"{names[0]} now says {labels[row]}, scored as {scored}"
            if difference is None:
                identical += 1
            elif first is None:
                first = f"{case}: {difference}"
        done += len(batch)
        if progress is not None:
            progress(done, len(cases), f"replaying in {other.name}")
    return Confirmation(
        backend=other.name,
        requested=count,
        replayed=len(cases),
        identical=identical,
        adversarial=sum(case.broken for case in cases),
        first_difference=first,
        seconds=round(seconds, 3),
        measured=other.measured(),
    )


def require_identical(confirmation: Confirmation) -> None:
    """Raise where a confirmation failed.

    Raises:
        CheckFailed: a replayed query differed; says where first.
    """
    if not confirmation.holds:
        raise CheckFailed(
            f"confirm {confirmation.backend}: {confirmation.identical} of "
            f"{confirmation.replayed} identical; first difference: {confirmation.first_difference}"
        )


def choose(record: Record, samples: Mapping[str, Any], count: int) -> list[Case]:
    """Up to `count` queries; what an attack failed on is never replayed."""
    right = samples["predicted/clean"] == samples["label"]
    hits, others = [], []
    for key, domain, attack in _jobs(record):
        name = f"{key}/{attack}"
        scored = ~samples[f"failed/{name}"]
        wrong = samples[f"predicted/{name}"] != samples["label"]
        won = right & wrong & scored
        hits.append([Case(key, domain, attack, int(i), True) for i in np.flatnonzero(won)])
        others.append(
            [Case(key, domain, attack, int(i), False) for i in np.flatnonzero(scored & ~won)]
        )
    return list(itertools.islice(itertools.chain(_in_turn(hits), _in_turn(others)), count))


def _jobs(record: Record) -> Iterator[tuple[str, str, str]]:
    """Budgets, what they bound, and attacks with stored proposals: a recipe has one a sample."""
    for kind, rates in record.robust.items():
        for typed, robust in rates.items():
            names = [name for name, rate in robust.by_attack.items() if rate.asked is None]
            if len(names) < len(robust.by_attack) and record.recipe is not None:
                names.append(record.recipe.name)
            for attack in names:
                yield f"{kind}={typed}", KINDS[kind].domain, attack


def _in_turn(groups: list[list[Case]]) -> Iterator[Case]:
    for row in itertools.zip_longest(*groups):
        yield from (case for case in row if case is not None)


def _batches(cases: list[Case]) -> Iterator[list[Case]]:
    """Runs of a few queries of one domain: images and spikes do not mix."""
    for domain in dict.fromkeys(kind.domain for kind in KINDS.values()):
        chosen = [case for case in cases if case.domain == domain]
        for start in range(0, len(chosen), AT_ONCE):
            yield chosen[start : start + AT_ONCE]


def _inputs(classifier: Classifier, samples: Mapping[str, Any], batch: list[Case]) -> Inputs:
    """The encoded inputs that were scored."""

    def rows(group: str) -> Any:
        return np.stack([samples[f"{group}/{c.key}/{c.attack}"][c.index] for c in batch])

    if batch[0].domain == "spikes":
        return Inputs.of(torch.from_numpy(rows("adversarial")))
    if classifier.encoder.random:
        return Inputs.of(unpack(rows("drawn"), tuple(samples["drawn_shape"].tolist())))
    return classifier.encoder.encode(torch.from_numpy(rows("adversarial")))


def _difference(
    ours: Run, theirs: Run, row: int, names: tuple[str, str], membrane: bool
) -> str | None:
    """Where one sample differs first: by step, then by neuron, the membrane last."""
    a, b = ours.spikes[row].long(), theirs.spikes[row].long()
    if a.shape != b.shape:
        return f"output shape {tuple(a.shape)} ({names[0]}), {tuple(b.shape)} ({names[1]})"
    places = (a != b).T.nonzero()
    if len(places):
        step, neuron = places[0].tolist()
        values = _pair(a[neuron, step], b[neuron, step], names)
        return f"output neuron {neuron}, step {step}: {values}"
    if membrane:
        v, w = ours.membrane[row].long(), theirs.membrane[row].long()
        for neuron in (v != w).nonzero().flatten().tolist():
            return f"output neuron {neuron}, membrane: {_pair(v[neuron], w[neuron], names)}"
    return None


def _pair(ours: Tensor, theirs: Tensor, names: tuple[str, str]) -> str:
    return f"{int(ours)} ({names[0]}), {int(theirs)} ({names[1]})"
