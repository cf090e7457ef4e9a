"""Which backward mode breaks most samples, found on samples that are never scored."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch

from neurorobust.attacks.base import Attack
from neurorobust.attacks.modes import find_mode
from neurorobust.attacks.recipe import Recipe, first_taking
from neurorobust.attacks.spike_view import spike_view
from neurorobust.budgets import Budget
from neurorobust.classifier import Classifier
from neurorobust.datasets.base import Dataset
from neurorobust.errors import BadInput
from neurorobust.evaluation.draws import Draws
from neurorobust.evaluation.jobs import Job
from neurorobust.evaluation.query import one_thread
from neurorobust.evaluation.seeds import fork
from neurorobust.evaluation.trial import propose
from neurorobust.types import Labels

HELD_OUT = 64  # validation samples, at most
VALIDATION = -1  # in the place of a shard's number
SHARES = (1.0, 0.5, 0.25)  # of the budget: where the whole of it breaks everything, less may not


def held_out(
    whole: Dataset, evaluated: int, train: Callable[[], Dataset] | None = None
) -> Dataset | None:
    """Samples that no evaluation of the first `evaluated` ones scores.

    The last `HELD_OUT` of the set where so many lie beyond the evaluated ones; else the last of the
    training split; None where there is none (`all`: one split serves as both).
    """
    source = whole
    if len(whole) - evaluated < HELD_OUT:
        if train is None or whole.split == "all":
            return None
        source = train()
    last = source.x[-HELD_OUT:], source.y[-HELD_OUT:]
    return Dataset(source.name, source.split, *last, source.classes)


def largest(jobs: Sequence[Job]) -> list[Job]:
    """One job for each kind of budget and, on images, each norm: of the largest such budget."""
    found = {(job.kind, getattr(job.budget, "norm", "")): job for job in jobs}
    for job in jobs:
        family = job.kind, getattr(job.budget, "norm", "")
        if job.value > found[family].value:
            found[family] = job
    return list(found.values())


def broken_by_mode(
    classifier: Classifier, recipe: Recipe, data: Dataset, jobs: Sequence[Job], seed: int
) -> dict[str, tuple[int, int]]:
    """For every mode: how many of the validation samples it breaks, summed over the budgets.

    The budgets are `SHARES` of the largest one of each kind and norm, each under the first of the
    recipe's choosers that takes it.

    Args:
        classifier: the target.
        recipe: names the modes and the choosers.
        data: the validation samples.
        jobs: those whose mode is to be chosen.
        seed: of everything random.

    Returns:
        mode -> (broken, asked: right when clean, once for each budget).

    Raises:
        BadInput: no chooser takes the budget of a job.
    """
    found, draws = dict.fromkeys(recipe.modes, (0, 0)), Draws(seed, VALIDATION)
    with one_thread():
        for job in largest(jobs):
            chooser: Any = first_taking(recipe.choosers, job.kind, job.budget)
            if chooser is None:
                raise BadInput(f"{recipe.name}: no attack chooses a mode at {job.key}")
            target, (x, labels) = classifier, data.batch(0, len(data))
            if job.domain == "spikes":
                target, x = spike_view(classifier, x, fork(seed, "validation"))
            rows = draws.score(target, x, labels).standing.nonzero().flatten()
            x, labels = x[rows], labels[rows]
            for mode in recipe.modes:
                attack = dataclasses.replace(chooser, mode=find_mode(mode))
                fallen = sum(
                    broken(target, x, labels, attack, job.budget.scaled(share), draws, rows, share)
                    for share in SHARES
                )
                before, asked = found[mode]
                found[mode] = before + fallen, asked + len(x) * len(SHARES)
    return found


def broken(
    target: Classifier,
    x: torch.Tensor,
    labels: Labels,
    attack: Attack,
    budget: Budget,
    draws: Draws,
    rows: torch.Tensor,
    *words: str | float,
) -> int:
    """How many an attack breaks, re-run on the target; arguments as of `mask`."""
    return int(mask(target, x, labels, attack, budget, draws, rows, *words).sum())


def mask(
    target: Classifier,
    x: torch.Tensor,
    labels: Labels,
    attack: Attack,
    budget: Budget,
    draws: Draws,
    rows: torch.Tensor,
    *words: str | float,
) -> torch.Tensor:
    """Which an attack breaks, re-run on the target: bool `[batch]`.

    Args:
        target: takes x.
        x: samples that are right when clean.
        labels: their classes.
        attack: what proposes.
        budget: of the attack's kind.
        draws: by which proposals are scored.
        rows: places of the samples among those that `draws` judges, int64 `[batch]`.
        words: name the attack's own randomness.
    """
    if len(x) == 0:
        return torch.zeros(0, dtype=torch.bool)
    generator = fork(draws.seed, "validation", attack.name, *words)
    made = propose(target, x, labels, attack, budget, generator)
    return ~draws.score(target, made.adversarial, labels, rows).standing & ~made.failed


def best_mode(counts: dict[str, tuple[int, int]]) -> str:
    """The mode that broke most; of equals the first."""
    return max(counts, key=lambda mode: counts[mode][0])
