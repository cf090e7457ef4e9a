"""MNIST, Fashion-MNIST and CIFAR-10, read by torchvision, kept as uint8.

Sources: LeCun et al., Proceedings of the IEEE 86 (1998); Xiao et al., arXiv:1708.07747; Krizhevsky,
"Learning multiple layers of features from tiny images" (2009).
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurorobust.datasets.base import Dataset, Request
from neurorobust.datasets.check import checked
from neurorobust.errors import DatasetError, UnavailableError


@dataclass(frozen=True)
class _Source:
    loader: str  # class in torchvision.datasets
    folder: str  # what torchvision looks for inside the data folder


SOURCES = {
    "mnist": _Source("MNIST", "MNIST/raw"),
    "fashion-mnist": _Source("FashionMNIST", "FashionMNIST/raw"),
    "cifar10": _Source("CIFAR10", "cifar-10-batches-py"),
}


def load(request: Request) -> Dataset:
    """uint8 `[N, C, H, W]`, 10 classes.

    Raises:
        DatasetError: no data folder given, the set is not in it, its files are damaged, or the
        download failed.
        UnavailableError: torchvision cannot be imported.
    """
    name, source = request.name, SOURCES[request.name]
    if request.data_dir is None:
        raise DatasetError(
            f"{name}: no data folder: give --data-dir DIR that holds {source.folder}, "
            "or --data-dir DIR --download to fetch it"
        )
    loader = _torchvision(name, source.loader)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # torchvision prints while it downloads
            data = loader(
                root=request.data_dir, train=request.split == "train", download=request.download
            )
    except Exception as error:  # torchvision raises whatever its parsers and urllib raise
        raise DatasetError(_explain(request, source, error)) from error
    pixels = np.asarray(data.data)
    x = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    return checked(name, request.split, x, np.asarray(data.targets, dtype=np.int64), classes=10)


def _torchvision(name: str, loader: str) -> Any:
    try:
        return getattr(importlib.import_module("torchvision.datasets"), loader)
    except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch
        reason = str(error).splitlines()[0]
        raise UnavailableError(
            f"{name}: needs torchvision, which cannot be imported here ({reason}): "
            "install the torchvision that fits your torch"
        ) from error


def _explain(request: Request, source: _Source, error: Exception) -> str:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    place = f"{request.data_dir}/{source.folder}"
    if request.download:
        return f"{request.name}: cannot fetch or read {place} ({reason})"
    if "not found" in reason:
        return (
            f"{request.name}: not found in {place}: point --data-dir at a folder that holds "
            f"{source.folder}, or add --download"
        )
    return f"{request.name}: {place} is damaged ({reason}): delete it and add --download"
