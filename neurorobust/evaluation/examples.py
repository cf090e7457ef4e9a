"""A few successful adversarial samples with the spikes they cause, for the report to draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from neurorobust.attacks.spike_view import first_spikes, spike_view
from neurorobust.budgets import KINDS
from neurorobust.classifier import Classifier
from neurorobust.datasets.base import Dataset
from neurorobust.evaluation.jobs import Job
from neurorobust.evaluation.outcomes import broken
from neurorobust.evaluation.query import Arrays, unpack
from neurorobust.evaluation.seeds import fork
from neurorobust.evaluation.shard import SHARD
from neurorobust.evaluation.store import Store
from neurorobust.types import Inputs

MOST = 6


def choose(arrays: dict[str, Any], jobs: tuple[Job, ...], kind: str) -> list[tuple[int, Job]]:
    """Up to six broken samples: smallest budget first, attacks before controls."""
    chosen: dict[int, Job] = {}
    ranked = sorted(
        (job for job in jobs if job.kind == kind),
        key=lambda job: (job.value, job.attack.control),
    )
    for job in ranked:
        for index in np.flatnonzero(broken(arrays, job)).tolist():
            if len(chosen) == MOST:
                break
            chosen.setdefault(index, job)
    return list(chosen.items())


def examples(
    classifier: Classifier,
    dataset: Dataset,
    jobs: tuple[Job, ...],
    arrays: dict[str, Any],
    store: Store,
    seed: int,
) -> Arrays:
    """The `example/...` arrays of `samples.npz`; none for a kind where nothing was broken."""
    found: Arrays = {}
    for kind in KINDS:
        columns: dict[str, list[Any]] = {}
        for index, job in choose(arrays, jobs, kind):
            for name, value in _one(classifier, dataset, index, job, store, seed).items():
                columns.setdefault(name, []).append(value)
        found |= {f"example/{kind}/{name}": np.stack(column) for name, column in columns.items()}
    return found


def _one(
    classifier: Classifier, dataset: Dataset, index: int, job: Job, store: Store, seed: int
) -> dict[str, Any]:
    """All columns of one example."""
    number, row = divmod(index, SHARD)
    x, labels = dataset.batch(index, index + 1)
    names = (f"adversarial/{job.outcome}", f"drawn/{job.outcome}", "drawn/clean", "predicted/")
    shard = store.load(number, *names)
    adversarial = torch.from_numpy(shard[f"adversarial/{job.outcome}"][row : row + 1])
    columns: dict[str, Any] = {
        "index": np.asarray(index),
        "budget": np.asarray(job.typed),
        "attack": np.asarray(job.label),
        "label": labels[0].numpy(),
        "predicted/clean": shard["predicted/clean"][row],
        "predicted/adversarial": shard[f"predicted/{job.name}"][row],
    }
    if dataset.domain == "images":
        columns["image/clean"] = x[0].numpy()
    if job.domain == "images":
        columns["image/adversarial"] = adversarial[0].numpy()
    direct, _ = spike_view(classifier, x, fork(seed, "example"))
    for side, images in (("clean", x), ("adversarial", adversarial)):
        name = "drawn/clean" if side == "clean" else f"drawn/{job.outcome}"
        if name in shard:
            shape = (*classifier.backend.model.input_shape, classifier.encoder.steps)
            inputs = Inputs.of(unpack(shard[name][row : row + 1], shape))
        elif side == "adversarial" and job.domain == "spikes":
            inputs = Inputs.of(images)
        else:
            inputs = classifier.encoder.encode(images)
        spikes = first_spikes(classifier, inputs)
        run = direct.run(spikes)
        columns[f"input/{side}"] = spikes[0].numpy()
        columns[f"output/{side}"] = run.spikes[0].to(torch.uint8).numpy()
        columns[f"membrane/{side}"] = run.membrane[0].to(torch.int32).numpy()
    return columns
