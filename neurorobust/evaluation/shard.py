"""One piece of work: all jobs on one run of consecutive samples, from its own forked seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neurorobust.attacks import GradientAttack
from neurorobust.classifier import Classifier
from neurorobust.evaluation.draws import Draws, Scored
from neurorobust.evaluation.jobs import Job
from neurorobust.evaluation.kept import Kept, judgement, restored, stored
from neurorobust.evaluation.query import Arrays, one_thread
from neurorobust.evaluation.recipe_chain import Chain
from neurorobust.evaluation.seeds import fork
from neurorobust.evaluation.trial import Trial, trial
from neurorobust.types import Labels

SHARD = 64  # samples; fixed, so that a record does not depend on how the work was spread


@dataclass(frozen=True)
class Part:
    """One shard in one domain: what every job of that domain starts from.

    Attributes:
        target: takes x.
        x: the samples, as images or as spikes.
        labels: true classes.
        clean: what the target makes of x.
        draws: by which proposals are scored.
    """

    target: Classifier
    x: Tensor
    labels: Labels
    clean: Scored
    draws: Draws


def evaluate_shard(
    classifier: Classifier,
    x: Tensor,
    labels: Labels,
    jobs: tuple[Job, ...],
    draws: Draws,
    kept: Kept,
) -> Arrays:
    """Attack, project, re-run on the target and score one shard.

    Args:
        classifier: the target.
        x: the shard's samples.
        labels: their classes.
        jobs: attacks with budgets.
        draws: by which the samples and all proposals are scored.
        kept: the shard's jobs on disk: the clean run (`clean`), and each job by its name.

    Returns:
        the arrays of `samples.npz` for these samples, and for each job `seconds/<key>/<attack>` and
        `queries/<key>/<attack>` (0-dimensional).
    """
    arrays: Arrays = {"label": labels.numpy()}
    with one_thread():
        clean = judgement(
            kept.arrays("clean", (x, labels), lambda: stored(draws.score(classifier, x, labels)))
        )
        arrays |= clean.arrays("clean")
        if clean.drawn is not None:
            arrays["predicted/redraw"] = clean.again.numpy()
        own = classifier.encoder.domain
        parts = {own: Part(classifier, x, labels, clean, draws)}
        chains: dict[tuple[str, int], Chain] = {}
        for job in jobs:
            if job.domain not in parts:
                target, start, right = draws.on_spikes(classifier, x, labels, clean.drawn)
                parts[job.domain] = Part(target, start, labels, right, draws)
            part = parts[job.domain]
            if job.recipe:
                chain = chains.setdefault((job.kind, job.seed), Chain(part.x, part.clean))
                arrays |= _member(part, chain, job, kept, arrays)
            else:
                arrays |= _whole(part, job, kept, arrays)
    return arrays


def _attempted(
    part: Part, rows: Tensor, job: Job, kept: Kept, known: Arrays
) -> tuple[Trial, Arrays]:
    """A job on some samples of the shard, and `zero_gradient/<attack>` if it is not known yet."""
    x, labels, clean = part.x[rows], part.labels[rows], part.clean.at(rows)

    def work() -> Arrays:
        if len(rows):
            made = trial(part.target, x, labels, clean, job, part.draws, rows)
        else:
            none = torch.zeros(0, dtype=torch.bool)
            made = Trial(x, clean, none, none, none, none, 0.0, 0)
        return stored(made) | _zero_gradient(part, job, known)

    found = kept.arrays(job.name, (x, labels, rows, clean.selecting), work)
    zero = {name: array for name, array in found.items() if name.startswith("zero_gradient/")}
    return restored(found), zero


def _whole(part: Part, job: Job, kept: Kept, known: Arrays) -> Arrays:
    """A job on all samples of the shard."""
    rows = torch.arange(len(part.x))
    made, zero = _attempted(part, rows, job, kept, known)
    arrays = _outcomes(made, job, rows, part.clean) | made.scored.arrays(job.name) | zero
    arrays[f"adversarial/{job.name}"] = made.adversarial.numpy()
    return arrays


def _member(part: Part, chain: Chain, job: Job, kept: Kept, known: Arrays) -> Arrays:
    """A job on the samples that still stand."""
    chain.begin(job.key, job.budget)
    rows = chain.standing()
    made, zero = _attempted(part, rows, job, kept, known)
    chain.take(rows, made)
    arrays = _outcomes(made, job, rows, chain.clean) | zero
    asked = torch.zeros(len(chain.x), dtype=torch.bool)
    asked[rows] = True
    arrays[f"asked/{job.name}"] = asked.numpy()
    return arrays | chain.arrays(job.outcome)


def _outcomes(made: Trial, job: Job, rows: Tensor, clean: Scored) -> Arrays:
    """What is counted of a job, spread over all samples of the shard."""
    arrays = clean.replaced(rows, made.scored).arrays(job.name, spikes=False)
    for name, mask in (
        ("failed", made.failed),
        ("projected", made.outside),
        ("unconfirmed", made.unconfirmed),
        ("unchanged", made.unchanged),
    ):
        spread = torch.zeros(len(clean.predicted), dtype=torch.bool)
        spread[rows] = mask
        arrays[f"{name}/{job.name}"] = spread.numpy()
    arrays[f"seconds/{job.name}"] = np.asarray(made.seconds)
    arrays[f"queries/{job.name}"] = np.asarray(made.queries)
    return arrays


def _zero_gradient(part: Part, job: Job, known: Arrays) -> Arrays:
    """Where the gradient that an attack starts with is zero everywhere; once an attack."""
    name = f"zero_gradient/{job.label}"
    if not isinstance(job.attack, GradientAttack) or name in known:
        return {}
    generator = fork(job.seed, part.draws.number, job.label, "gradient")
    gradient = job.attack.gradient(part.target, part.x, part.labels, generator)
    return {name: (gradient == 0).flatten(1).all(1).numpy()}
