"""`npz:FILE`: anyone's own arrays, from a file that may be damaged or hostile.

Images or spikes: `x` ([N, C, H, W], uint8 or floats in [0, 1]; or spikes [N, C, H, W, T] of 0 and
1) and `y` ([N]). They serve as both splits, unless `x_train` and `y_train` are there too: then
these are the training split, and `x` and `y` the test split.
Events: a file with `offset` holds events, see events.py. They serve as both splits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurorobust.datasets import events
from neurorobust.datasets.base import Dataset, Request
from neurorobust.datasets.check import check_labels, checked
from neurorobust.errors import BadInput, DatasetError
from neurorobust.support import files


def load(request: Request) -> Dataset:
    """Read and check; `Dataset.split` is `all` where the file holds one split.

    Raises:
        DatasetError: no file, no npz, a missing array, Python objects inside, a declared size
            beyond `files.foreign_limit`, damaged content, or unsound values.
    """
    path = Path(request.name.partition(":")[2]).expanduser()
    try:
        names = set(files.npz_names(path))
    except BadInput as error:
        raise DatasetError(f"npz:{error}") from error
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
    try:
        return dict(files.read_npz(path, names=keys, limit=files.foreign_limit(path)))
    except BadInput as error:
        raise DatasetError(f"npz:{error}") from error
