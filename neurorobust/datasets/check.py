"""Arrays from anywhere -> a sound `Dataset`, or one line that says what is wrong where."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from neurorobust.datasets.base import Dataset
from neurorobust.errors import DatasetError
from neurorobust.types import Labels

MAX_CLASSES = 1 << 20


def checked(name: str, split: str, x: Any, y: Any, classes: int | None = None) -> Dataset:
    """Check values, shapes and labels.

    Args:
        name: as in `Dataset`; every message starts with it.
        split: as in `Dataset`.
        x: array or tensor: images `[N, C, H, W]`, uint8 or floats in [0, 1] (kept as float32), or
            spikes `[N, C, H, W, T]` of any dtype that hold 0 and 1 (kept as uint8).
        y: integers `[N]`, 0 or more.
        classes: how many classes there are; None: the largest label + 1.

    Raises:
        DatasetError: whatever of this does not hold, with the first sample where it does not.
    """
    x, y = _array(name, "x", x), _array(name, "y", y)
    if x.ndim not in (4, 5):
        raise DatasetError(
            f"{name}: x has shape {x.shape}, need [N, C, H, W] (images) or [N, C, H, W, T] (spikes)"
        )
    labels = check_labels(name, y, classes or MAX_CLASSES)
    if len(x) != len(y):
        raise DatasetError(f"{name}: {len(x)} samples in x but {len(y)} labels in y")
    if x.size == 0:
        raise DatasetError(f"{name}: x is empty, shape {x.shape}")
    x = _spikes(name, x) if x.ndim == 5 else _images(name, x)
    return Dataset(name, split, torch.from_numpy(x), labels, classes or int(labels.max()) + 1)


def check_labels(name: str, y: Any, classes: int = MAX_CLASSES) -> Labels:
    """int64 labels `[N]`, each in [0, classes).

    Raises:
        DatasetError: none, no integers, more or less than one axis, or out of range.
    """
    if y.ndim != 1 or y.dtype.kind not in "ui":
        raise DatasetError(
            f"{name}: labels are {y.dtype} of shape {y.shape}, need integers of shape [N]"
        )
    if len(y) == 0:
        raise DatasetError(f"{name}: no labels")
    bad = (y < 0) | (y >= classes)
    if bad.any():
        sample = int(np.argmax(bad))
        raise DatasetError(
            f"{name}: sample {sample} has label {int(y[sample])}, outside [0, {classes - 1}]"
        )
    return torch.from_numpy(y.astype(np.int64))


def _array(name: str, what: str, values: Any) -> Any:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    values = np.asarray(values)
    if values.dtype.kind not in "buif":
        raise DatasetError(f"{name}: {what} holds {values.dtype}, need numbers")
    return values


def _images(name: str, x: Any) -> Any:
    if x.dtype == np.uint8:
        return np.ascontiguousarray(x)
    if x.dtype.kind != "f":
        raise DatasetError(f"{name}: x is {x.dtype}, need uint8 (0..255) or floats in [0, 1]")
    bad = ~((x >= 0) & (x <= 1)).reshape(len(x), -1)  # NaN is neither
    _refuse(name, x, bad, "outside [0, 1]")
    return np.ascontiguousarray(x, dtype=np.float32)


def _spikes(name: str, x: Any) -> Any:
    bad = ((x != 0) & (x != 1)).reshape(len(x), -1)
    _refuse(name, x, bad, "neither 0 nor 1 (spikes)")
    return np.ascontiguousarray(x, dtype=np.uint8)


def _refuse(name: str, x: Any, bad: Any, why: str) -> None:
    if not bad.any():
        return
    sample = int(np.argmax(bad.any(axis=1)))
    value = x.reshape(len(x), -1)[sample, int(np.argmax(bad[sample]))]
    if np.isnan(value):
        raise DatasetError(f"{name}: sample {sample} holds NaN")
    raise DatasetError(f"{name}: sample {sample} holds {value:g}, {why}")
