"""Whether what an attack learns from and what is scored are different samples."""

from __future__ import annotations

import hashlib

import numpy as np

from neurorobust.datasets.base import Dataset
from neurorobust.errors import DatasetError


def check_apart(scored: Dataset, learnt: Dataset) -> None:
    """Refuse a user's training split that holds samples which are scored.

    A factory that ignores `split` returns the same samples twice: the recipe would choose its
    backward mode, and an adversary would learn, on what is scored. Sets that come with neurorobust
    have splits of their own, and one split that serves as both (`all`) is cut in two beforehand.

    Args:
        scored: what is scored.
        learnt: of another split of the same set.

    Raises:
        DatasetError: a row of x is in both; says how many are, and which is the first.
    """
    if ":" not in scored.name or learnt.split == scored.split:
        return
    known = set(_digests(learnt))
    both = [row for row, digest in enumerate(_digests(scored)) if digest in known]
    if both:
        raise DatasetError(
            f"{scored.name}: {len(both)} of {len(scored)} scored samples (first: {both[0]}) are "
            f"among the {len(learnt)} of split {learnt.split!r} that are learnt from; return other "
            "samples for each split, or a Dataset of split 'all' where there is one"
        )


def check_learnt(scored: Dataset, learnt: Dataset) -> None:
    """Refuse samples to learn from of which every one is scored as well.

    Single pictures may stand in both splits of a published set; all of them mean the same split.

    Args:
        scored: what is scored.
        learnt: what an adversary learns from, or a mode is chosen on.

    Raises:
        DatasetError: says how many there are.
    """
    if set(_digests(learnt)) <= set(_digests(scored)):
        raise DatasetError(
            f"{learnt.name}: all {len(learnt)} samples to learn from are among the {len(scored)} "
            "that are scored; give others"
        )


def _digests(data: Dataset) -> list[bytes]:
    rows = np.ascontiguousarray(data.x.numpy())
    return [hashlib.blake2b(row.data, digest_size=16).digest() for row in rows]
