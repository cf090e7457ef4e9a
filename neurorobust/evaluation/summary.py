"""Per-sample outcomes -> counts with intervals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from neurorobust.budgets import KINDS
from neurorobust.evaluation.jobs import Job
from neurorobust.evaluation.minimum import curve, median
from neurorobust.evaluation.outcomes import (
    Mask,
    broken,
    by_draws,
    carried,
    clean_standing,
    left,
    scoring,
    standing,
    total,
)
from neurorobust.records import AttackRate, Minimum, Rate, RobustRate, Targeted, rate

SMALL = (
    "label",
    "predicted/",
    "selecting/",
    "scoring/",
    "failed/",
    "projected/",
    "unconfirmed/",
    "unchanged/",
    "asked/",
    "carried/",
    "zero_gradient/",
    "minimum/",
    "target/",
    "targeted/",
    "seconds/",
    "queries/",
)


def clean_rate(arrays: dict[str, Any]) -> Rate:
    """Clean accuracy; the mean over the scoring draws where the encoder draws."""
    right = scoring(arrays, "clean", by_draws(arrays, "clean"))
    return rate(total(right), len(right))


def redraw_rate(arrays: dict[str, Any]) -> Rate | None:
    """Of the samples right in one draw how many another draw loses; None: nothing is drawn."""
    if "predicted/redraw" not in arrays:
        return None
    right = arrays["predicted/clean"] == arrays["label"]
    fallen = right & (arrays["predicted/redraw"] != arrays["label"])
    return rate(int(fallen.sum()), int(right.sum()))


def robust_rates(arrays: dict[str, Any], jobs: tuple[Job, ...]) -> dict[str, dict[str, RobustRate]]:
    """By kind of budget and budget as typed: what is right under every attack, from every seed.

    Args:
        arrays: those named in `SMALL`, of all samples.
        jobs: all jobs.
    """
    found: dict[str, dict[str, RobustRate]] = {}
    for kind in KINDS:
        of_kind = [job for job in jobs if job.kind == kind]
        for typed in dict.fromkeys(job.typed for job in of_kind):
            at_budget = [job for job in of_kind if job.typed == typed]
            found.setdefault(kind, {})[typed] = _robust(arrays, at_budget)
    return found


def _robust(arrays: dict[str, Any], jobs: list[Job]) -> RobustRate:
    """All jobs of one budget."""
    samples = len(arrays["label"])
    seeds = list(dict.fromkeys(job.seed for job in jobs))
    by_seed = {
        seed: total(left(arrays, [job for job in jobs if job.seed == seed])) for seed in seeds
    }
    worst = rate(total(left(arrays, jobs)), samples)
    seen = _any(arrays, [job for job in jobs if job.attack.access == "white-box"])
    members = [job for job in jobs if job.recipe and job.attack.access == "white-box"]
    labels = dict.fromkeys(job.label for job in jobs)
    return RobustRate(
        kind=jobs[0].kind,
        text=jobs[0].typed,
        numbers=jobs[0].budget.numbers,
        correct=worst.correct,
        total=samples,
        interval=worst.interval,
        by_attack={
            label: attack_rate(arrays, [job for job in jobs if job.label == label], seen)
            for label in labels
        },
        carried=int(carried(arrays, jobs).sum()),
        white_box=int((_any(arrays, members) | carried(arrays, jobs)).sum()),
        by_seed={str(seed): rate(count, samples) for seed, count in by_seed.items()}
        if len(seeds) > 1
        else {},
    )


def _any(arrays: dict[str, Any], jobs: list[Job]) -> Mask:
    """Broken by one of these jobs."""
    found = np.zeros(len(arrays["label"]), dtype=np.bool_)
    for job in jobs:
        found |= broken(arrays, job)
    return found


def attack_rate(arrays: dict[str, Any], jobs: list[Job], seen: Mask) -> AttackRate:
    """One attack at one budget: the worst over seeds; time and queries of all.

    Args:
        arrays: of all samples.
        jobs: the attack's, one a seed.
        seen: samples that some white-box attack broke.
    """
    own = [replace(job, recipe="") for job in jobs]  # without what the rest of a recipe found
    clean = total(scoring(arrays, "clean", by_draws(arrays, jobs[0].name)))
    standing = rate(total(left(arrays, own)), len(arrays["label"]))
    fallen = _any(arrays, jobs)
    zero = arrays.get(f"zero_gradient/{jobs[0].label}")

    def count(what: str) -> int:
        return int(sum(int(arrays[f"{what}/{job.name}"].sum()) for job in jobs))

    unchanged = np.any([arrays[f"unchanged/{job.name}"] for job in jobs], axis=0)
    asked, success = None, rate(max(0, _less(clean, standing.correct)), clean)
    if jobs[0].recipe:
        asked = int(np.any([arrays[f"asked/{job.name}"] for job in jobs], axis=0).sum())
        success = rate(int(fallen.sum()), asked)
    return AttackRate(
        correct=standing.correct,
        total=len(arrays["label"]),
        interval=standing.interval,
        success=success,
        zero_gradient=None if zero is None else float(np.mean(zero)),
        seconds=round(sum(float(arrays[f"seconds/{job.name}"].sum()) for job in jobs), 3),
        failed=count("failed"),
        projected=count("projected"),
        unconfirmed=count("unconfirmed"),
        unchanged=int((clean_standing(arrays, jobs[0]) & unchanged).sum()),
        asked=asked,
        beyond=None if jobs[0].attack.access == "white-box" else int((fallen & ~seen).sum()),
        queries=count("queries"),
    )


def _less(one: int | float, other: int | float) -> int | float:
    difference = one - other
    return difference if isinstance(difference, int) else round(difference, 3)


def minimum_rates(arrays: dict[str, Any], jobs: tuple[Job, ...]) -> dict[str, Minimum]:
    """The smallest budgets found, by kind, over the samples that are right when clean."""
    found = {}
    for kind in dict.fromkeys(job.kind for job in jobs):
        first = next(job for job in jobs if job.kind == kind)
        values = np.asarray(arrays[f"minimum/{kind}"])[clean_standing(arrays, first)]
        found[kind] = Minimum(
            total=len(values),
            broken=int(np.isfinite(values).sum()),
            largest=max(job.value for job in jobs if job.kind == kind),
            median=median(values),
            steps=tuple(curve(values)),
        )
    return found


def targeted_rates(arrays: dict[str, Any], jobs: tuple[Job, ...]) -> tuple[Targeted, ...]:
    """How many samples, right when clean, were taken for the class that was asked for."""

    def reached(job: Job) -> Rate:
        right = standing(arrays, "clean", job.domain == "images" and by_draws(arrays, "clean"))
        return rate(int((right & arrays[f"targeted/{job.name}"]).sum()), int(right.sum()))

    return tuple(
        Targeted(
            kind=kind,
            budget=typed,
            by_attack={
                job.label: reached(job) for job in jobs if (job.kind, job.typed) == (kind, typed)
            },
        )
        for kind, typed in dict.fromkeys((job.kind, job.typed) for job in jobs)
    )
