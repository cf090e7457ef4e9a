"""Reads the arrays of an evaluation: which samples are still right, which are broken.

Where the encoder draws, arrays of shares over draws (`selecting/...`, `scoring/...`) stand beside
`predicted/...`, which is of one draw: see `evaluation.draws`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from neurorobust.evaluation.draws import HALF
from neurorobust.evaluation.jobs import Job

Mask = npt.NDArray[np.bool_]
Shares = npt.NDArray[np.float64]


def by_draws(arrays: dict[str, Any], name: str) -> bool:
    """Whether it was scored by draws."""
    return f"scoring/{name}" in arrays


def scoring(arrays: dict[str, Any], name: str, draws: bool) -> Shares:
    """Share of the scoring draws that are right, `[N]`; of one run 0 or 1."""
    return _share(arrays, "scoring", name, draws)


def standing(arrays: dict[str, Any], name: str, draws: bool) -> Mask:
    """Right in more than half of the selecting draws, `[N]`; of one run: right."""
    return np.asarray(_share(arrays, "selecting", name, draws) > HALF)


def clean_standing(arrays: dict[str, Any], job: Job) -> Mask:
    """Which samples are right when clean, as the job meets them."""
    return standing(arrays, "clean", by_draws(arrays, job.name))


def broken(arrays: dict[str, Any], job: Job) -> Mask:
    """Right when clean, wrong under the attack; where an attack failed it broke nothing."""
    right = standing(arrays, job.name, by_draws(arrays, job.name))
    failed = arrays[f"failed/{job.name}"].astype(np.bool_)
    return np.asarray(clean_standing(arrays, job) & ~right & ~failed)


def carried(arrays: dict[str, Any], jobs: Sequence[Job]) -> Mask:
    """Broken by what a recipe found at a smaller budget, which lies in this one too."""
    found = np.zeros(len(arrays["label"]), dtype=np.bool_)
    for name in {f"carried/{job.outcome}" for job in jobs if job.recipe}:
        found |= arrays[name]
    return found


def left(arrays: dict[str, Any], jobs: Sequence[Job]) -> Shares:
    """What remains right of each sample, `[N]`, under the worst of these jobs' proposals.

    For each sample the proposal that the fewest selecting draws get right (x itself, then the
    earlier job on a tie), scored by the scoring draws.

    Args:
        arrays: of all samples.
        jobs: at one budget; of a recipe what it kept for each sample is a candidate too.
    """
    draws = by_draws(arrays, jobs[0].name)
    names = [job.name for job in jobs]
    names += dict.fromkeys(job.outcome for job in jobs if job.recipe)
    worst = _share(arrays, "selecting", "clean", draws).copy()
    found = scoring(arrays, "clean", draws).copy()
    for name in names:
        lower = _share(arrays, "selecting", name, draws) < worst
        worst = np.where(lower, _share(arrays, "selecting", name, draws), worst)
        found = np.where(lower, scoring(arrays, name, draws), found)
    return found


def total(shares: Shares) -> int | float:
    """Samples, counted; of shares over draws the sum, which need not be whole."""
    count = float(shares.sum())
    return int(count) if np.isin(shares, (0.0, 1.0)).all() else round(count, 3)


def _share(arrays: dict[str, Any], which: str, name: str, draws: bool) -> Shares:
    if draws:
        return np.asarray(arrays[f"{which}/{name}"], dtype=np.float64)
    return np.asarray(arrays[f"predicted/{name}"] == arrays["label"], dtype=np.float64)
