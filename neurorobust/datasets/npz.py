"""`npz:FILE`: anyone's own arrays, from a file that may be damaged or hostile.

Images or spikes: `x` ([N, C, H, W], uint8 or floats in [0, 1]; or spikes [N, C, H, W, T] of 0 and
1) and `y` ([N]). They serve as both splits, unless `x_train` and `y_train` are there too: then
these are the training split, and `x` and `y` the test split.
Events: a file with `offset` holds events, see events.py. They serve as both splits.
"""

from __future__ import annotations

import math
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from neurorobust.datasets import events
from neurorobust.datasets.base import Dataset, Request
from neurorobust.datasets.check import check_labels, checked
from neurorobust.errors import DatasetError
from neurorobust.files import UNREADABLE

MAX_BYTES = 8 << 30  # of all arrays that are read from one file, as their headers declare them
_BROKEN = (*UNREADABLE, struct.error, SyntaxError)


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
    if not {"x_train", "y_train"} & names:
        arrays = read_arrays(request.name, path, ("x", "y"))
        return checked(request.name, "all", arrays["x"], arrays["y"])
    x, y, other = ("x", "y", "y_train") if request.split == "test" else ("x_train", "y_train", "y")
    arrays = read_arrays(request.name, path, (x, y, other))
    classes = 1 + max(int(check_labels(request.name, arrays[key]).max()) for key in (y, other))
    return checked(request.name, request.split, arrays[x], arrays[y], classes)


def read_arrays(name: str, path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    """The named arrays, after a look at every header: no pickles, nothing larger than it may be."""
    declared = 0
    for key, (dtype, shape) in _headers(name, path, keys).items():
        if dtype.hasobject:
            raise DatasetError(f"{name}: {key} holds Python objects, which are never loaded")
        declared += math.prod(shape) * dtype.itemsize
        if declared > MAX_BYTES or min(shape, default=0) < 0:
            raise DatasetError(
                f"{name}: {key} declares shape {shape} of {dtype}, the limit is {MAX_BYTES} bytes"
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
            f"{name}: no array {missing[0]!r}, need {', '.join(keys)}; "
            f"it holds {', '.join(sorted(names)) or 'nothing'}"
        )
    headers = {}
    numpy_format: Any = np.lib.format
    for key in keys:
        try:
            with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as member:
                version = numpy_format.read_magic(member)
                read = {
                    (1, 0): numpy_format.read_array_header_1_0,
                    (2, 0): numpy_format.read_array_header_2_0,
                }[version]
                shape, _, dtype = read(member)
        except (*_BROKEN, KeyError) as error:
            raise DatasetError(f"{name}: {key} is damaged ({_line(error)})") from error
        headers[key] = (dtype, shape)
    return headers


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
