"""Per-sample outcomes -> counts with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from neurorobust.evaluation.jobs import Job
from neurorobust.evaluation.minimum import curve, median
from neurorobust.records import AttackRate, Minimum, Rate, RobustRate, Targeted, rate

SMALL = (
    "label",
    "predicted/",
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


def clean_correct(arrays: dict[str, Any]) -> npt.NDArray[np.bool_]:
    """Which samples are right when clean."""
    return np.asarray(arrays["predicted/clean"] == arrays["label"])


def broken(arrays: dict[str, Any], job: Job) -> npt.NDArray[np.bool_]:
    """Right when clean, wrong under the attack; where an attack failed it broke nothing."""
    wrong = arrays[f"predicted/{job.name}"] != arrays["label"]
    return np.asarray(clean_correct(arrays) & wrong & ~arrays[f"failed/{job.name}"])


def clean_rate(arrays: dict[str, Any]) -> Rate:
    """Clean accuracy."""
    right = clean_correct(arrays)
    return rate(int(right.sum()), len(right))


def redraw_rate(arrays: dict[str, Any]) -> Rate | None:
    """Broken by a second draw alone, among the samples right when clean; None: nothing is drawn."""
    if "predicted/redraw" not in arrays:
        return None
    right = clean_correct(arrays)
    fallen = right & (arrays["predicted/redraw"] != arrays["label"])
    return rate(int(fallen.sum()), int(right.sum()))


def robust_rates(arrays: dict[str, Any], jobs: tuple[Job, ...], kind: str) -> dict[str, RobustRate]:
    """For each budget of a kind (as typed): right when clean and under every attack, every seed.

    Where every query draws afresh (images into a random encoder) each attack is also one more
    draw: controls are left out there, unless nothing else was tried.

    Args:
        arrays: those named in `SMALL`, of all samples.
        jobs: all jobs.
        kind: of budget.
    """
    of_kind = [job for job in jobs if job.kind == kind]
    return {
        typed: _robust(arrays, [job for job in of_kind if job.typed == typed])
        for typed in dict.fromkeys(job.typed for job in of_kind)
    }


def _robust(arrays: dict[str, Any], jobs: list[Job]) -> RobustRate:
    """All jobs of one budget."""
    redrawn = jobs[0].kind == "eps" and "predicted/redraw" in arrays
    attacks = [job for job in jobs if not job.attack.control]
    counted = attacks if redrawn and attacks else jobs
    seeds = list(dict.fromkeys(job.seed for job in jobs))
    standing = {
        seed: _standing(arrays, [job for job in counted if job.seed == seed]) for seed in seeds
    }
    worst = rate(int(np.all(list(standing.values()), axis=0).sum()), len(arrays["label"]))
    labels = dict.fromkeys(job.label for job in jobs)
    return RobustRate(
        correct=worst.correct,
        total=worst.total,
        interval=worst.interval,
        by_attack={
            label: attack_rate(arrays, [job for job in jobs if job.label == label])
            for label in labels
        },
        carried=int(_carried(arrays, jobs).sum()),
        by_seed={
            str(seed): rate(int(left.sum()), len(left))
            for seed, left in standing.items()
            if len(seeds) > 1
        },
    )


def _standing(arrays: dict[str, Any], jobs: list[Job]) -> npt.NDArray[np.bool_]:
    """Right when clean and after these jobs, and after what a recipe carried over to them."""
    left = clean_correct(arrays) & ~_carried(arrays, jobs)
    for job in jobs:
        left &= ~broken(arrays, job)
    return left


def _carried(arrays: dict[str, Any], jobs: list[Job]) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(arrays["label"]), dtype=np.bool_)
    for name in {f"carried/{job.outcome}" for job in jobs if job.recipe}:
        found |= arrays[name]
    return found


def attack_rate(arrays: dict[str, Any], jobs: list[Job]) -> AttackRate:
    """One attack at one budget: broken from any seed; time and queries of all."""
    right = clean_correct(arrays)
    fallen = np.any([broken(arrays, job) for job in jobs], axis=0)
    standing = rate(int((right & ~fallen).sum()), len(right))
    zero = arrays.get(f"zero_gradient/{jobs[0].label}")

    def count(what: str) -> int:
        return int(sum(int(arrays[f"{what}/{job.name}"].sum()) for job in jobs))

    unchanged = np.any([arrays[f"unchanged/{job.name}"] for job in jobs], axis=0)
    asked = None
    if jobs[0].recipe:
        asked = int(np.any([arrays[f"asked/{job.name}"] for job in jobs], axis=0).sum())
    return AttackRate(
        correct=standing.correct,
        total=standing.total,
        interval=standing.interval,
        success=rate(int(fallen.sum()), int(right.sum()) if asked is None else asked),
        zero_gradient=None if zero is None else float(np.mean(zero)),
        seconds=round(sum(float(arrays[f"seconds/{job.name}"].sum()) for job in jobs), 3),
        failed=count("failed"),
        projected=count("projected"),
        unconfirmed=count("unconfirmed"),
        unchanged=int((right & unchanged).sum()),
        asked=asked,
        queries=count("queries"),
    )


def minimum_rates(arrays: dict[str, Any], jobs: tuple[Job, ...]) -> dict[str, Minimum]:
    """The smallest budgets found, by kind, over the samples that are right when clean."""
    right = clean_correct(arrays)
    found = {}
    for kind in dict.fromkeys(job.kind for job in jobs):
        values = np.asarray(arrays[f"minimum/{kind}"])[right]
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
    right = clean_correct(arrays)
    return tuple(
        Targeted(
            kind=kind,
            budget=typed,
            by_attack={
                job.label: rate(
                    int((right & arrays[f"targeted/{job.name}"]).sum()), int(right.sum())
                )
                for job in jobs
                if (job.kind, job.typed) == (kind, typed)
            },
        )
        for kind, typed in dict.fromkeys((job.kind, job.typed) for job in jobs)
    )
