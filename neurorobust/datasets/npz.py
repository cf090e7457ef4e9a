"""`npz:FILE`: anyone's own arrays, from a file that may be damaged or hostile.

Images or spikes: `x` ([N, C, H, W] uint8 or floats in [0, 1], or spikes [N, C, H, W, T] of 0 and 1)
    and `y` ([N]).
They serve as both splits, unless `x_train` and `y_train` are there too, which then are the training
split.
Events: see events.py; a file with `offset` holds events. They too serve as both splits.
"""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from neurorobust.datasets import events
from neurorobust.datasets.base import Dataset, Request
from neurorobust.datasets.check import checked
from neurorobust.errors import DatasetError

MAX_BYTES = 8 << 30  # of all arrays that are read from one file, as their headers declare them
_BROKEN = (
    OSError, ValueError, EOFError, RuntimeError, NotImplementedError,
    zipfile.BadZipFile, zlib.error, struct.error, SyntaxError,
)  # fmt: skip


def load(request: Request) -> Dataset:
    """Read and check; `Dataset.split` is `all` where the file holds one split.

    Raises:
        DatasetError: no file, no npz, a missing array, Python objects inside, a declared size
            beyond `MAX_BYTES`, damaged content, or unsound values.
    """
    path = Path(request.name.partition(":")[2]).expanduser()
    if not path.is_file():
        raise DatasetError(f"{request.name}: no such file")
    names = _names(request.name, path)
    if "offset" in names:
        arrays = read_arrays(request.name, path, events.KEYS)
        return events.binned(request, arrays)
    if {"x_train", "y_train"} <= names and request.split == "train":
        arrays = read_arrays(request.name, path, ("x_train", "y_train"))
        return checked(request.name, "train", arrays["x_train"], arrays["y_train"])
    arrays = read_arrays(request.name, path, ("x", "y"))
    split = "test" if {"x_train", "y_train"} <= names else "all"
    return checked(request.name, split, arrays["x"], arrays["y"])


def read_arrays(name: str, path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    """The named arrays, after a look at every header: no pickles, nothing larger than it may be."""
    declared = 0
    for key, (dtype, shape) in _headers(name, path, keys).items():
        if dtype.hasobject:
            raise DatasetError(f"{name}: {key} holds Python objects, which are never loaded")
        declared += math.prod(shape) * dtype.itemsize
        if declared > MAX_BYTES:
            raise DatasetError(
                f"{name}: {key} declares shape {shape} of {dtype}, beyond the limit of {MAX_BYTES} bytes"
            )
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in keys}
    except _BROKEN as error:
        raise DatasetError(f"{name}: damaged ({_line(error)})") from error


def _names(name: str, path: Path) -> set[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return {member.removesuffix(".npy") for member in archive.namelist()}
    except _BROKEN as error:
        raise DatasetError(f"{name}: not an npz file ({_line(error)})") from error


def _headers(
    name: str, path: Path, keys: tuple[str, ...]
) -> dict[str, tuple[Any, tuple[int, ...]]]:
    names = _names(name, path)
    missing = [key for key in keys if key not in names]
    if missing:
        raise DatasetError(
            f"{name}: no array {missing[0]!r}, need {', '.join(keys)}; it holds {', '.join(sorted(names))}"
        )
    headers = {}
    for key in keys:
        try:
            with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as member:
                version = np.lib.format.read_magic(member)
                read = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }[version]
                shape, _, dtype = read(member)
        except (*_BROKEN, KeyError) as error:
            raise DatasetError(f"{name}: {key} is damaged ({_line(error)})") from error
        headers[key] = (dtype, shape)
    return headers


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
