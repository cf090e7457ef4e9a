"""Per-sample outcomes -> counts with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from neurorobust.evaluation.jobs import Job
from neurorobust.records import AttackRate, Rate, RobustRate, rate

SMALL = ("label", "predicted/", "failed/", "projected/", "zero_gradient/", "seconds/")


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
    """For each budget of a kind (as typed): right when clean and under every attack.

    Where every query draws afresh (images into a random encoder) each attack is also one more
    draw: controls are left out there, unless nothing else was tried.

    Args:
        arrays: those named in `SMALL`, of all samples.
        jobs: all jobs.
        kind: `eps` or `flips`.
    """
    right = clean_correct(arrays)
    rates = {}
    for typed in dict.fromkeys(job.typed for job in jobs if job.kind == kind):
        asked = [job for job in jobs if (job.kind, job.typed) == (kind, typed)]
        standing = right.copy()
        attacks = [job for job in asked if not job.attack.control]
        redrawn = kind == "eps" and "predicted/redraw" in arrays
        for job in attacks if redrawn and attacks else asked:
            standing &= ~broken(arrays, job)
        worst = rate(int(standing.sum()), len(right))
        rates[typed] = RobustRate(
            correct=worst.correct,
            total=worst.total,
            interval=worst.interval,
            by_attack={job.attack.name: attack_rate(arrays, job) for job in asked},
        )
    return rates


def attack_rate(arrays: dict[str, Any], job: Job) -> AttackRate:
    """One attack at one budget."""
    right, fallen = clean_correct(arrays), broken(arrays, job)
    standing = rate(int((right & ~fallen).sum()), len(right))
    zero = arrays.get(f"zero_gradient/{job.attack.name}")
    return AttackRate(
        correct=standing.correct,
        total=standing.total,
        interval=standing.interval,
        success=rate(int(fallen.sum()), int(right.sum())),
        zero_gradient=None if zero is None else float(np.mean(zero)),
        seconds=round(float(arrays[f"seconds/{job.name}"].sum()), 3),
        failed=int(arrays[f"failed/{job.name}"].sum()),
        projected=int(arrays[f"projected/{job.name}"].sum()),
    )
