"""One piece of work: all jobs on one run of consecutive samples, from its own forked seeds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from neurorobust.attacks import GradientAttack
from neurorobust.attacks.spike_view import spike_view
from neurorobust.classifier import Classifier
from neurorobust.evaluation.attempt import Attempt, attempt
from neurorobust.evaluation.chain import Chain
from neurorobust.evaluation.jobs import Job
from neurorobust.evaluation.query import Arrays, one_thread, pack, score
from neurorobust.evaluation.seeds import fork
from neurorobust.types import Labels, Spikes

SHARD = 64  # samples; fixed, so that a record does not depend on how the work was spread


def evaluate_shard(
    classifier: Classifier,
    x: Tensor,
    labels: Labels,
    jobs: tuple[Job, ...],
    seed: int,
    number: int,
    tick: Callable[[str], None],
) -> Arrays:
    """Attack, project, re-run on the target and score one shard.

    Args:
        classifier: the target.
        x: the shard's samples.
        labels: their classes.
        jobs: attacks with budgets.
        seed: of the clean answers and of what is drawn for them.
        number: of the shard.
        tick: told when the clean run (`clean`) and each job (its name) is done.

    Returns:
        the arrays of `samples.npz` for these samples, and for each job `seconds/<key>/<attack>` and
        `queries/<key>/<attack>` (0-dimensional).
    """
    arrays: Arrays = {"label": labels.numpy()}
    with one_thread():
        clean, drawn = score(classifier, x, fork(seed, number, "clean"))
        arrays["predicted/clean"] = clean.numpy()
        if drawn is not None:
            arrays["drawn/clean"] = pack(drawn)
            again, _ = score(classifier, x, fork(seed, number, "redraw"))
            arrays["predicted/redraw"] = again.numpy()
        tick("clean")
        starts = {"images": (classifier, x)}
        chains: dict[tuple[str, int], Chain] = {}
        for job in jobs:
            if job.domain not in starts:
                starts[job.domain] = spike_view(classifier, x, fork(seed, number, "clean"))
            target, start = starts[job.domain]
            if job.recipe:
                fresh = Chain(start, labels, clean, drawn if job.domain == "images" else None)
                chain = chains.setdefault((job.kind, job.seed), fresh)
                arrays.update(_member(target, chain, job, number))
            else:
                made = attempt(target, start, labels, clean, job, number)
                arrays.update(_whole(made, job))
            arrays.update(_zero_gradient(target, start, labels, job, number, arrays))
            tick(job.name)
    return arrays


def _whole(made: Attempt, job: Job) -> Arrays:
    """A job on all samples of the shard."""
    arrays = _outcomes(made, job, torch.arange(len(made.failed)), made.predicted)
    arrays[f"adversarial/{job.name}"] = made.adversarial.numpy()
    if made.drawn is not None:
        arrays[f"drawn/{job.name}"] = pack(made.drawn)
    return arrays


def _member(target: Classifier, chain: Chain, job: Job, number: int) -> Arrays:
    """A job on the samples that still stand."""
    chain.begin(job.key, job.budget)
    rows = chain.standing()
    x, labels, clean = chain.x[rows], chain.labels[rows], chain.clean[rows]
    if len(rows):
        made = attempt(target, x, labels, clean, job, number)
        chain.take(rows, made)
    else:
        none = torch.zeros(0, dtype=torch.bool)
        made = Attempt(x, clean, none, none, none, none, _no_draws(chain.drawn), 0.0, 0)
    arrays = _outcomes(made, job, rows, chain.clean)
    asked = torch.zeros(len(chain.x), dtype=torch.bool)
    asked[rows] = True
    arrays[f"asked/{job.name}"] = asked.numpy()
    return arrays | chain.arrays(job.outcome)


def _no_draws(drawn: Spikes | None) -> Spikes | None:
    return None if drawn is None else drawn[:0]


def _outcomes(made: Attempt, job: Job, rows: Tensor, clean: Labels) -> Arrays:
    """What is counted of a job, spread over all samples of the shard."""
    predicted = clean.clone()
    predicted[rows] = made.predicted
    arrays: Arrays = {f"predicted/{job.name}": predicted.numpy()}
    for name, mask in (
        ("failed", made.failed),
        ("projected", made.outside),
        ("unconfirmed", made.unconfirmed),
        ("unchanged", made.unchanged),
    ):
        spread = torch.zeros(len(predicted), dtype=torch.bool)
        spread[rows] = mask
        arrays[f"{name}/{job.name}"] = spread.numpy()
    arrays[f"seconds/{job.name}"] = np.asarray(made.seconds)
    arrays[f"queries/{job.name}"] = np.asarray(made.queries)
    return arrays


def _zero_gradient(
    target: Classifier, x: Tensor, labels: Labels, job: Job, number: int, known: Arrays
) -> Arrays:
    """Where the gradient that an attack starts with is zero everywhere; once an attack."""
    name = f"zero_gradient/{job.label}"
    if not isinstance(job.attack, GradientAttack) or name in known:
        return {}
    generator = fork(job.seed, number, job.label, "gradient")
    gradient = job.attack.gradient(target, x, labels, generator)
    return {name: (gradient == 0).flatten(1).all(1).numpy()}
