"""One attack on some samples: it proposes; projecting, running again and scoring happen here.

Whoever runs an attack (the evaluation, the choice of a mode, targets, the comparison of two
networks, the calls of other libraries) takes these two functions:

    propose   the attack's proposal, made sound and brought into its budget
    trial     the same, run again and scored
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.base import Attack, ClaimingAttack
from neurorobust.attacks.queries import counted
from neurorobust.budgets import Budget, project
from neurorobust.classifier import Classifier
from neurorobust.evaluation.draws import Draws, Scored
from neurorobust.evaluation.jobs import Job
from neurorobust.evaluation.seeds import fork
from neurorobust.types import Labels


@dataclass(frozen=True)
class Proposed:
    """What an attack proposed. First axis: the samples that it was given.

    Attributes:
        raw: as the attack returned it.
        adversarial: inside the budget; x where the proposal cannot be scored.
        failed: bool; it cannot be scored (`sound`).
        outside: bool; it lay outside the budget and was projected.
        claimed: bool; the attack says that it broke the sample.
        unchanged: bool; the proposal is x itself.
        seconds: of the attack.
        queries: samples that it ran through the network, with and without gradients.
    """

    raw: Tensor
    adversarial: Tensor
    failed: Tensor
    outside: Tensor
    claimed: Tensor
    unchanged: Tensor
    seconds: float
    queries: int


@dataclass(frozen=True)
class Trial:
    """What came of an attack. First axis: the samples that it was given.

    Attributes:
        adversarial: inside the budget.
        scored: what the target makes of it; what it made of x where the attack failed.
        failed: bool; the proposal could not be scored.
        outside: bool; the proposal lay outside the budget and was projected.
        unconfirmed: bool; the attack claimed a success and the target is still right.
        unchanged: bool; the proposal is x itself.
        seconds: of the attack.
        queries: samples that it ran through the network, with and without gradients.
    """

    adversarial: Tensor
    scored: Scored
    failed: Tensor
    outside: Tensor
    unconfirmed: Tensor
    unchanged: Tensor
    seconds: float
    queries: int

    @property
    def broken(self) -> Tensor:
        """Bool: scored, and no longer right."""
        return ~self.scored.standing & ~self.failed


def propose(
    target: Classifier,
    x: Tensor,
    labels: Labels,
    attack: Attack,
    budget: Budget,
    generator: torch.Generator,
) -> Proposed:
    """Let an attack propose, and bring what it proposes into the budget.

    Args:
        target: what it may ask; its queries are counted.
        x: samples; the attack is given a copy.
        labels: their classes; likewise.
        attack: what proposes.
        budget: of its kind.
        generator: feeds everything random in it.
    """
    watched = counted(target)
    claimed = torch.zeros(len(x), dtype=torch.bool)
    start = time.perf_counter()
    if isinstance(attack, ClaimingAttack):
        made = attack.propose(watched, x.clone(), labels.clone(), budget, generator)
        raw, claimed = made.x, made.claimed
    else:
        raw = attack(watched, x.clone(), labels.clone(), budget, generator)
    seconds = time.perf_counter() - start
    usable, failed = sound(raw, x)
    adversarial, outside = project(usable, x, budget)
    return Proposed(
        raw=raw,
        adversarial=adversarial,
        failed=failed,
        outside=outside,
        claimed=claimed,
        unchanged=(usable == x).flatten(1).all(1) & ~failed,
        seconds=seconds,
        queries=watched.tally.forward + watched.tally.gradients,
    )


def trial(
    target: Classifier,
    x: Tensor,
    labels: Labels,
    clean: Scored,
    job: Job,
    draws: Draws,
    rows: Tensor,
) -> Trial:
    """Let an attack propose, and run the target again on what it proposed.

    Args:
        target: takes x.
        x: the samples.
        labels: their classes.
        clean: what the target makes of x.
        job: the attack with its budget and seed.
        draws: by which proposals are scored.
        rows: places of the samples in their shard, int64 `[batch]`.
    """
    generator = fork(job.seed, draws.number, job.label, job.kind, job.value)
    made = propose(target, x, labels, job.attack, job.budget, generator)
    scored = draws.score(target, made.adversarial, labels, rows)
    unscored = made.failed.nonzero().flatten()
    scored = scored.replaced(unscored, clean.at(unscored))
    return Trial(
        adversarial=made.adversarial,
        scored=scored,
        failed=made.failed,
        outside=made.outside,
        unconfirmed=made.claimed & (scored.standing | made.failed),
        unchanged=made.unchanged,
        seconds=made.seconds,
        queries=made.queries,
    )


def sound(proposal: object, x: Tensor) -> tuple[Tensor, Tensor]:
    """Separate what can be scored from what cannot.

    Args:
        proposal: what an attack returned.
        x: images (float) or spikes (uint8) it started from.

    Returns:
        the proposal in x's dtype with x in the place of every unusable sample, and bool `[batch]`:
        unusable (not finite, not binary where x is spikes; all where the shape is wrong).
    """
    if not isinstance(proposal, Tensor) or proposal.shape != x.shape:
        return x.clone(), torch.ones(len(x), dtype=torch.bool)
    flat = proposal.detach().flatten(1)
    whole = torch.isfinite(flat) if x.is_floating_point() else (flat == 0) | (flat == 1)
    failed = ~whole.all(1)
    shape = (-1, *[1] * (x.dim() - 1))
    return torch.where(failed.view(shape), x, proposal.detach()).to(x.dtype), failed
