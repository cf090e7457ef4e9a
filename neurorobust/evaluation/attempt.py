"""One attack on some samples: it proposes, everything else happens here."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.base import ClaimingAttack
from neurorobust.attacks.queries import counted
from neurorobust.budgets import project
from neurorobust.classifier import Classifier
from neurorobust.evaluation.draws import Draws, Judgement
from neurorobust.evaluation.jobs import Job
from neurorobust.evaluation.seeds import fork
from neurorobust.evaluation.sift import sift
from neurorobust.types import Labels


@dataclass(frozen=True)
class Attempt:
    """What came of it, first axis: the samples that it was given.

    Attributes:
        adversarial: inside the budget.
        judged: what the target makes of it; what it made of x where the attack failed.
        failed: bool; the proposal could not be scored.
        outside: bool; the proposal lay outside the budget and was projected.
        unconfirmed: bool; the attack claimed a success and the target is still right.
        unchanged: bool; the proposal is x itself.
        seconds: of the attack.
        queries: samples that it ran through the network, with and without gradients.
    """

    adversarial: Tensor
    judged: Judgement
    failed: Tensor
    outside: Tensor
    unconfirmed: Tensor
    unchanged: Tensor
    seconds: float
    queries: int

    @property
    def broken(self) -> Tensor:
        """Bool: scored, and no longer right."""
        return ~self.judged.standing & ~self.failed


def attempt(
    target: Classifier,
    x: Tensor,
    labels: Labels,
    clean: Judgement,
    job: Job,
    draws: Draws,
    rows: Tensor,
) -> Attempt:
    """Attack, project, re-run on the target.

    Args:
        target: takes x.
        x: the samples given to the attack.
        labels: true classes.
        clean: what the target makes of x.
        job: attack, budget and seed.
        draws: by which proposals are judged.
        rows: places of the samples in their shard, int64 `[batch]`.
    """
    watched = counted(target)
    generator = fork(job.seed, draws.number, job.label, job.kind, job.value)
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
    judged = draws.judge(target, adversarial, labels, rows)
    unscored = failed.nonzero().flatten()
    judged = judged.replaced(unscored, clean.at(unscored))
    return Attempt(
        adversarial=adversarial,
        judged=judged,
        failed=failed,
        outside=outside,
        unconfirmed=claimed & (judged.standing | failed),
        unchanged=(usable == x).flatten(1).all(1) & ~failed,
        seconds=seconds,
        queries=watched.tally.forward + watched.tally.gradients,
    )
