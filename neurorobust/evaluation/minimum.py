"""The smallest budget that breaks each sample: between two that were evaluated, by halving."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput
from neurorobust.evaluation.draws import Draws, Scored
from neurorobust.evaluation.jobs import Job
from neurorobust.evaluation.kept import Kept
from neurorobust.evaluation.outcomes import broken
from neurorobust.evaluation.query import Arrays, one_thread
from neurorobust.evaluation.trial import trial
from neurorobust.types import Labels

Floats: TypeAlias = "npt.NDArray[np.float64]"
Brackets: TypeAlias = "tuple[Floats, Floats, npt.NDArray[np.int64]]"  # low, high, by which job
HALVINGS = 5  # of each gap between budgets; whole numbers: until there is nothing between


def check(jobs: tuple[Job, ...]) -> None:
    """Refuse budgets that no single number orders.

    Raises:
        BadInput: budgets of one kind that differ in more than their size, or patches.
    """
    for kind in dict.fromkeys(job.kind for job in jobs):
        forms = {job.budget.resized(0) for job in jobs if job.kind == kind}
        if len(forms) > 1 or None in forms:
            raise BadInput(f"minimum: the budgets of {kind} differ in more than their size")


def smallest(
    classifier: Classifier,
    x: torch.Tensor,
    labels: Labels,
    jobs: tuple[Job, ...],
    arrays: Arrays,
    draws: Draws,
    kept: Kept,
) -> Arrays:
    """`minimum/<kind>`, float64 `[batch]`: 0 where wrong when clean, infinity where nothing broke.

    The attack that broke a sample at the smallest evaluated budget searches on below it.

    Args:
        classifier: the target.
        x: the shard's samples.
        labels: their classes.
        jobs: all of the evaluation, done.
        arrays: what came of them.
        draws: by which proposals are scored.
        kept: the shard's jobs on disk, each kind as `smallest <kind>`.
    """
    found: Arrays = {}
    whole_clean = draws.score(classifier, x, labels)
    with one_thread():
        for kind in dict.fromkeys(job.kind for job in jobs):
            own = [job for job in jobs if job.kind == kind and not job.attack.control]
            own.sort(key=lambda job: job.value)
            low, high, by = _brackets(own, arrays, len(labels))
            target, start, clean = classifier, x, whole_clean
            if own and own[0].domain != classifier.encoder.domain:
                target, start, clean = draws.on_spikes(classifier, x, labels, whole_clean.drawn)
            given = (start, labels, clean.selecting, *map(torch.from_numpy, (low, high, by)))
            search = partial(
                _search, target, start, labels, clean, own, (low, high, by), kind, draws
            )
            found |= kept.arrays(f"smallest {kind}", given, search)
    return found


def _search(
    target: Classifier,
    start: torch.Tensor,
    labels: Labels,
    clean: Scored,
    own: list[Job],
    brackets: Brackets,
    kind: str,
    draws: Draws,
) -> Arrays:
    """`minimum/<kind>`: the jobs that broke samples search on within the brackets."""
    low, high, by = brackets[0].copy(), brackets[1].copy(), brackets[2]
    for _ in range(HALVINGS if not own or not own[0].budget.whole else 64):
        groups = _groups(own, low, high, by)
        if not groups:
            break
        for (place, middle), rows in groups.items():
            budget = own[place].budget.resized(middle)
            assert budget is not None
            job = replace(own[place], budget=budget, again=False)
            index = np.asarray(rows)
            places = torch.from_numpy(index)
            made = trial(
                target, start[places], labels[places], clean.at(places), job, draws, places
            )
            fell = made.broken.numpy()
            high[index[fell]], low[index[~fell]] = middle, middle
    return {f"minimum/{kind}": np.where(clean.standing.numpy(), high, 0.0)}


def _brackets(jobs: list[Job], arrays: Arrays, batch: int) -> Brackets:
    """Largest budget survived below the smallest one that broke, that one, and by which job."""
    low, high = np.zeros(batch), np.full(batch, np.inf)
    by = np.full(batch, -1)
    for place, job in enumerate(jobs):
        fell = broken(arrays, job) & np.isinf(high)
        high[fell], by[fell] = job.value, place
    for job in jobs:
        below = job.value < high
        low[below] = np.maximum(low[below], job.value)
    return low, high, by


def _groups(
    jobs: list[Job], low: Floats, high: Floats, by: npt.NDArray[np.int64]
) -> dict[tuple[int, float], list[int]]:
    """Samples by the attack that broke them and the budget to try next."""
    groups: dict[tuple[int, float], list[int]] = {}
    for row in np.flatnonzero(by >= 0).tolist():
        middle = (low[row] + high[row]) / 2
        if jobs[by[row]].budget.whole:
            middle = float(middle // 1)
        if low[row] < middle < high[row]:
            groups.setdefault((int(by[row]), float(middle)), []).append(row)
    return groups


def curve(values: Floats) -> list[tuple[float, int]]:
    """(budget, samples still standing at it), budgets rising, from the finite values."""
    ordered = np.sort(values)
    places = np.unique(ordered[np.isfinite(ordered)])
    return [(float(place), int((ordered > place).sum())) for place in places]


def median(values: Floats) -> float | None:
    """The middle one (of two the larger); infinite ones count; None where that is infinite."""
    middle = float(np.sort(values)[len(values) // 2]) if len(values) else np.inf
    return middle if np.isfinite(middle) else None


__all__ = ["HALVINGS", "check", "curve", "median", "smallest"]
