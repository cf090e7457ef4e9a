"""The digits bundled with scikit-learn: 1797 pictures of 8x8 pixels with 17 grey levels.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository (1998).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from neurorobust.datasets.base import Dataset, Request
from neurorobust.datasets.check import checked

GREY_MAX = 16
TEST_EVERY = 5  # of each class, in the set's own order, every fifth sample is held out


def load(request: Request) -> Dataset:
    """float32 `[N, 1, 8, 8]` = pixel / 16, exact in float32; 1442 for training, 355 held out.

    The split is stratified and needs no random numbers: of each class every fifth sample is held
    out.
    """
    from sklearn.datasets import load_digits  # takes a second to import

    bunch = load_digits()
    held_out = _every_nth(np.asarray(bunch.target), TEST_EVERY)
    chosen = held_out if request.split == "test" else ~held_out
    x = np.asarray(bunch.images)[chosen, None].astype(np.float32) / GREY_MAX
    return checked("digits", request.split, x, np.asarray(bunch.target)[chosen], classes=10)


def _every_nth(labels: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.bool_]:
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        chosen[np.flatnonzero(labels == label)[n - 1 :: n]] = True
    return chosen
