"""One attack on some samples: it proposes, everything else happens here."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.base import ClaimingAttack
from neurorobust.attacks.queries import counted
from neurorobust.classifier import Classifier
from neurorobust.evaluation.jobs import Job
from neurorobust.evaluation.query import score
from neurorobust.evaluation.seeds import fork
from neurorobust.evaluation.sift import sift
from neurorobust.projection import project
from neurorobust.types import Labels, Spikes


@dataclass(frozen=True)
class Attempt:
    """What came of it, first axis: the samples that it was given.

    Attributes:
        adversarial: inside the budget.
        predicted: the target's labels of it; the clean prediction where the attack failed.
        failed: bool; the proposal could not be scored.
        outside: bool; the proposal lay outside the budget and was projected.
        unconfirmed: bool; the attack claimed a success and the target is still right.
        unchanged: bool; the proposal is x itself.
        drawn: the spikes that a random encoder drew for the score.
        seconds: of the attack.
        queries: samples that it ran through the network, with and without gradients.
    """

    adversarial: Tensor
    predicted: Labels
    failed: Tensor
    outside: Tensor
    unconfirmed: Tensor
    unchanged: Tensor
    drawn: Spikes | None
    seconds: float
    queries: int


def attempt(
    target: Classifier, x: Tensor, labels: Labels, clean: Labels, job: Job, number: int
) -> Attempt:
    """Attack, project, re-run on the target.

    Args:
        target: takes x.
        x: the samples given to the attack.
        labels: true classes.
        clean: what the target says of x.
        job: attack, budget and seed.
        number: of the shard.
    """
    words = (number, job.label, job.kind, job.value)
    watched, generator = counted(target), fork(job.seed, *words)
    claimed = torch.zeros(len(x), dtype=torch.bool)
    start = time.perf_counter()
    if isinstance(job.attack, ClaimingAttack):
        proposed = job.attack.propose(watched, x.clone(), labels.clone(), job.budget, generator)
        proposal, claimed = proposed.x, proposed.claimed
    else:
        proposal = job.attack(watched, x.clone(), labels.clone(), job.budget, generator)
    seconds = time.perf_counter() - start
    usable, failed = sift(proposal, x)
    adversarial, outside = project(usable, x, job.budget)
    predicted, drawn = score(target, adversarial, fork(job.seed, *words, "score"))
    return Attempt(
        adversarial=adversarial,
        predicted=torch.where(failed, clean, predicted),
        failed=failed,
        outside=outside,
        unconfirmed=claimed & ((predicted == labels) | failed),
        unchanged=(usable == x).flatten(1).all(1) & ~failed,
        drawn=drawn,
        seconds=seconds,
        queries=watched.tally.forward + watched.tally.gradients,
    )
