"""Events of an address-event camera -> binary spikes.

Arrays: `x`, `y` (column, row), `p` (polarity 0 or 1) and `t` (µs from the start of its sample), one
entry an event; `offset` [N + 1] (sample i = events offset[i]:offset[i + 1]), `label` [N], `height`,
`width` (scalars).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from neurorobust.datasets.base import Dataset, Request
from neurorobust.datasets.check import check_labels
from neurorobust.errors import DatasetError

KEYS = ("x", "y", "p", "t", "offset", "label", "height", "width")
MAX_PIXELS = 1 << 16  # height or width
MAX_TIME = 1 << 62  # µs
MAX_BYTES = 8 << 30  # of the binned spikes


def binned(request: Request, arrays: dict[str, Any]) -> Dataset:
    """Spikes uint8 `[N, 2, H, W, steps]`: 1 where one event or more fell into the bin.

    The channel is the polarity. Bin k holds the events with k * bin_us <= t < (k + 1) * bin_us;
    later events are outside the window. A sample without events stays empty; a sample whose events
    all lie outside the window is refused. With a limit only the first samples are binned.

    Raises:
        DatasetError: steps or bin_us missing or below 1, arrays that contradict each other, values
            out of range.
    """
    name = request.name
    if request.steps is None or request.bin_us is None:
        raise DatasetError(f"{name}: holds events, needs steps and bin_us (width of a bin in µs)")
    if request.steps < 1 or request.bin_us < 1:
        raise DatasetError(
            f"{name}: steps {request.steps} and bin_us {request.bin_us} must be 1 or more"
        )
    offset, labels = _check(name, arrays), check_labels(name, arrays["label"])
    height, width = (_side(name, key, arrays[key]) for key in ("height", "width"))
    for key, limit in (("x", width), ("y", height), ("p", 2), ("t", MAX_TIME)):
        _range(name, key, arrays[key], limit)
    count = len(offset) - 1 if request.limit is None else min(request.limit, len(offset) - 1)
    shape = (count, 2, height, width, request.steps)
    if count * 2 * height * width * request.steps > MAX_BYTES:
        raise DatasetError(f"{name}: binned to {shape}, beyond the limit of {MAX_BYTES} bytes")
    used = slice(int(offset[0]), int(offset[count]))
    column, row, polarity, time = (arrays[key][used].astype(np.int64) for key in "xypt")
    sample = np.repeat(np.arange(count), np.diff(offset[: count + 1]))
    step = time // request.bin_us
    inside = step < request.steps
    _check_window(name, sample, inside, count, request.steps * request.bin_us)
    spikes = np.zeros(shape, dtype=np.uint8)
    places = (sample, polarity, row, column, step)
    spikes[tuple(index[inside] for index in places)] = 1
    return Dataset(name, "all", torch.from_numpy(spikes), labels[:count], int(labels.max()) + 1)


def _check(name: str, arrays: dict[str, Any]) -> Any:
    events = len(arrays["t"]) if arrays["t"].ndim == 1 else -1
    for key in ("x", "y", "p", "t", "offset", "label"):
        if arrays[key].ndim != 1 or arrays[key].dtype.kind not in "bui":
            found = f"{arrays[key].dtype} of shape {arrays[key].shape}"
            raise DatasetError(f"{name}: {key} is {found}, need integers of one axis")
        if key in "xypt" and len(arrays[key]) != events:
            raise DatasetError(f"{name}: {len(arrays[key])} entries in {key} but {events} in t")
    offset, labels = arrays["offset"].astype(np.int64), arrays["label"]
    if len(offset) < 2:
        raise DatasetError(f"{name}: offset has {len(offset)} entries, need samples + 1")
    if len(labels) != len(offset) - 1:
        raise DatasetError(f"{name}: {len(offset) - 1} samples in offset but {len(labels)} labels")
    if offset[0] != 0 or offset[-1] != events or bool(np.any(np.diff(offset) < 0)):
        raise DatasetError(f"{name}: offset must rise from 0 to the number of events, {events}")
    return offset


def _side(name: str, key: str, value: Any) -> int:
    if value.size != 1 or value.dtype.kind not in "ui":
        raise DatasetError(f"{name}: {key} is {value.dtype} of shape {value.shape}, need 1 integer")
    side = int(value.reshape(()))
    if not 1 <= side <= MAX_PIXELS:
        raise DatasetError(f"{name}: {key} {side} outside [1, {MAX_PIXELS}]")
    return side


def _range(name: str, key: str, values: Any, limit: int) -> None:
    bad = (values < 0) | (values >= limit)
    if bad.any():
        event = int(np.argmax(bad))
        raise DatasetError(
            f"{name}: event {event} has {key} {int(values[event])}, outside [0, {limit - 1}]"
        )


def _check_window(name: str, sample: Any, inside: Any, count: int, window: int) -> None:
    lost = (np.bincount(sample, minlength=count) > 0) & (
        np.bincount(sample[inside], minlength=count) == 0
    )
    if lost.any():
        raise DatasetError(
            f"{name}: sample {int(np.argmax(lost))} has no event in its first {window} µs "
            "(t counts from the start of the sample)"
        )
