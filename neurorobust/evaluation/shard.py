"""One piece of work: all jobs on one run of consecutive samples, from its own forked seeds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from neurorobust.attacks import GradientAttack
from neurorobust.classifier import Classifier
from neurorobust.evaluation.attempt import Attempt, attempt
from neurorobust.evaluation.chain import Chain
from neurorobust.evaluation.draws import Draws, Judgement
from neurorobust.evaluation.jobs import Job
from neurorobust.evaluation.query import Arrays, one_thread
from neurorobust.evaluation.seeds import fork
from neurorobust.types import Labels

SHARD = 64  # samples; fixed, so that a record does not depend on how the work was spread


def evaluate_shard(
    classifier: Classifier,
    x: Tensor,
    labels: Labels,
    jobs: tuple[Job, ...],
    draws: Draws,
    tick: Callable[[str], None],
) -> Arrays:
    """Attack, project, re-run on the target and score one shard.

    Args:
        classifier: the target.
        x: the shard's samples.
        labels: their classes.
        jobs: attacks with budgets.
        draws: by which the samples and all proposals are judged.
        tick: told when the clean run (`clean`) and each job (its name) is done.

    Returns:
        the arrays of `samples.npz` for these samples, and for each job `seconds/<key>/<attack>` and
        `queries/<key>/<attack>` (0-dimensional).
    """
    arrays: Arrays = {"label": labels.numpy()}
    with one_thread():
        clean = draws.judge(classifier, x, labels)
        arrays |= clean.arrays("clean")
        if clean.drawn is not None:
            arrays["predicted/redraw"] = clean.again.numpy()
        tick("clean")
        starts = {classifier.encoder.domain: (classifier, x, clean)}
        chains: dict[tuple[str, int], Chain] = {}
        for job in jobs:
            if job.domain not in starts:
                starts[job.domain] = draws.on_spikes(classifier, x, labels, clean.drawn)
            target, start, right = starts[job.domain]
            if job.recipe:
                chain = chains.setdefault((job.kind, job.seed), Chain(start, right))
                arrays.update(_member(target, chain, labels, job, draws))
            else:
                every = torch.arange(len(start))
                made = attempt(target, start, labels, right, job, draws, every)
                arrays.update(_outcomes(made, job, every, right))
                arrays |= made.judged.arrays(job.name)
                arrays[f"adversarial/{job.name}"] = made.adversarial.numpy()
            arrays.update(_zero_gradient(target, start, labels, job, draws.number, arrays))
            tick(job.name)
    return arrays


def _member(target: Classifier, chain: Chain, labels: Labels, job: Job, draws: Draws) -> Arrays:
    """A job on the samples that still stand."""
    chain.begin(job.key, job.budget)
    rows = chain.standing()
    x, clean = chain.x[rows], chain.clean.at(rows)
    if len(rows):
        made = attempt(target, x, labels[rows], clean, job, draws, rows)
        chain.take(rows, made)
    else:
        none = torch.zeros(0, dtype=torch.bool)
        made = Attempt(x, clean, none, none, none, 0.0, 0)
    arrays = _outcomes(made, job, rows, chain.clean)
    asked = torch.zeros(len(chain.x), dtype=torch.bool)
    asked[rows] = True
    arrays[f"asked/{job.name}"] = asked.numpy()
    return arrays | chain.arrays(job.outcome)


def _outcomes(made: Attempt, job: Job, rows: Tensor, clean: Judgement) -> Arrays:
    """What is counted of a job, spread over all samples of the shard."""
    arrays = clean.replaced(rows, made.judged).arrays(job.name, spikes=False)
    for name, mask in (
        ("failed", made.failed),
        ("projected", made.outside),
        ("unconfirmed", made.unconfirmed),
    ):
        spread = torch.zeros(len(clean.predicted), dtype=torch.bool)
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
