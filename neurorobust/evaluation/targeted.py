"""Targeted attacks: each sample must be taken for one class, drawn at random among the wrong ones.

Every untargeted attack becomes a targeted one against a readout of two classes,

    0: the largest of all other logits        1: the logit of the target

with true class 0: breaking that is reaching the target. The evaluation scores with the network's
own readout.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from neurorobust.classifier import Classifier
from neurorobust.evaluation.draws import HALF, Draws
from neurorobust.evaluation.jobs import Job
from neurorobust.evaluation.kept import Kept
from neurorobust.evaluation.query import Arrays, one_thread
from neurorobust.evaluation.seeds import fork
from neurorobust.evaluation.trial import propose
from neurorobust.readouts import Readout
from neurorobust.types import Labels, Run


@dataclass(frozen=True)
class TargetReadout(Readout):
    """Two classes: the best of the others, and the target.

    Attributes:
        target: the class to be reached.
    """

    target: int = 0

    def integers(self, run: Run) -> Tensor:
        """`[batch, 2]`."""
        values = super().integers(run)
        own = values[:, self.target]
        others = torch.cat([values[:, : self.target], values[:, self.target + 1 :]], 1)
        return torch.stack([others.amax(1), own], 1)


def aim(classifier: Classifier, target: int) -> Classifier:
    """The same network, of two classes: anything else (0), and the target (1)."""
    readout = classifier.readout
    return replace(classifier, readout=TargetReadout(readout.kind, readout.scale, target))


def targets(labels: Labels, classes: int, generator: torch.Generator) -> Labels:
    """A wrong class for each sample, uniform among them."""
    step = torch.randint(1, classes, labels.shape, generator=generator)
    return (labels + step) % classes


def targeted(
    classifier: Classifier,
    x: Tensor,
    labels: Labels,
    jobs: tuple[Job, ...],
    draws: Draws,
    kept: Kept,
) -> Arrays:
    """`target` int64 `[batch]`, and `targeted/<key>/<attack>` bool: the target was reached.

    Args:
        classifier: the target.
        x: the shard's samples.
        labels: their classes.
        jobs: every one on all samples.
        draws: by which proposals are scored; their seed is that of the targets too.
        kept: the shard's jobs on disk, each as `targeted <name>`.
    """
    classes = classifier.backend.model.outputs
    goal = targets(labels, classes, fork(draws.seed, draws.number, "target"))
    found: Arrays = {"target/class": goal.numpy()}
    with one_thread():
        for job in jobs:
            found |= kept.arrays(
                f"targeted {job.name}",
                (x, labels, goal),
                partial(_reached, classifier, x, labels, goal, job, draws),
            )
    return found


def _reached(
    classifier: Classifier, x: Tensor, labels: Labels, goal: Labels, job: Job, draws: Draws
) -> Arrays:
    """`targeted/<key>/<attack>` of one job."""
    whole, start = classifier, x
    if job.domain != classifier.encoder.domain:
        drawn = draws.score(classifier, x, labels).drawn
        whole, start, _ = draws.on_spikes(classifier, x, labels, drawn)
    reached = torch.zeros(len(x), dtype=torch.bool)
    for target in sorted(set(goal.tolist())):
        rows = (goal == target).nonzero().flatten()
        words = (draws.number, job.label, job.kind, job.value, "target", target)
        begin, zeros = start[rows], torch.zeros(len(rows), dtype=torch.int64)
        generator = fork(job.seed, *words)
        made = propose(aim(whole, target), begin, zeros, job.attack, job.budget, generator)
        scored = draws.score(whole, made.adversarial, goal[rows], rows)
        reached[rows] = (scored.scoring > HALF) & ~made.failed
    return {f"targeted/{job.name}": reached.numpy()}
