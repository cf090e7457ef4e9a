"""Event arrays as tonic has them, in and out: one structured array (x, y, t, p) a sample.

tonic's `ToFrame` gives frames `[T, P, H, W]`; spikes here are `[P, H, W, T]` (C is the polarity).
Its time bins start at the sample's first event and its windows may be dropped at the end; here bin
k holds the events with k * bin_us <= t < (k + 1) * bin_us, as for `npz:` files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neurorobust.errors import DatasetError
from neurorobust.types import Spikes

FIELDS = ("x", "y", "t", "p")
DTYPE = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.int8)])

Events = npt.NDArray[Any]  # structured, one entry an event


def from_events(
    events: list[Events], sensor_size: tuple[int, int, int], steps: int, bin_us: int
) -> Spikes:
    """Bin: 1 where one event or more fell into the bin; events after the last bin are left out.

    Args:
        events: one structured array a sample, with fields x (column), y (row), t (us from the start
            of the sample) and p (polarity, numbers or booleans).
        sensor_size: tonic's, (width, height, polarities).
        steps: bins.
        bin_us: width of a bin in us.

    Returns:
        uint8 `[samples, polarities, height, width, steps]`.

    Raises:
        DatasetError: a missing field, a value outside the sensor or before 0, steps or bin_us
            below 1.
    """
    _check_bins(steps, bin_us)
    width, height, polarities = sensor_size
    spikes = np.zeros((len(events), polarities, height, width, steps), dtype=np.uint8)
    for sample, own in enumerate(events):
        column, row, time, polarity = _fields(own, sample)
        limits = (("x", column, width), ("y", row, height), ("p", polarity, polarities))
        for name, values, limit in (*limits, ("t", time, np.iinfo(np.int64).max)):
            bad = (values < 0) | (values >= limit)
            if bad.any():
                event = int(np.argmax(bad))
                raise DatasetError(
                    f"events: sample {sample}, event {event} has {name} {int(values[event])}, "
                    f"outside [0, {limit - 1}]"
                )
        step = time // bin_us
        inside = step < steps
        spikes[sample, polarity[inside], row[inside], column[inside], step[inside]] = 1
    return torch.from_numpy(spikes)


def to_events(spikes: Spikes, bin_us: int, original: list[Events] | None = None) -> list[Events]:
    """Spikes as event arrays, in the order of time (then polarity, row, column).

    Args:
        spikes: uint8 `[samples, polarities, height, width, steps]`.
        bin_us: width of a bin in us.
        original: the arrays that spikes were binned from, before an attack: entries that are still
            there keep all of their events, at their times, and events after the last bin stay.
            None: every spike is one event.

    Returns:
        one structured array a sample. An event made up here lies in the middle of its bin; binning
        the arrays again gives the same spikes.

    Raises:
        DatasetError: not binary spikes of five axes, another number of samples, bin_us below 1.
    """
    if spikes.dim() != 5 or bool((spikes > 1).any()):
        raise DatasetError(f"events: need spikes of 0 and 1 with five axes, got {spikes.dim()}")
    _check_bins(int(spikes.shape[4]), bin_us)
    if original is not None and len(original) != len(spikes):
        raise DatasetError(f"events: {len(original)} arrays but {len(spikes)} samples of spikes")
    return [
        _one(spikes[sample], bin_us, None if original is None else original[sample], sample)
        for sample in range(len(spikes))
    ]


def frames(spikes: Spikes) -> Tensor:
    """`[samples, P, H, W, T]` -> tonic's frames `[samples, T, P, H, W]`."""
    return spikes.permute(0, 4, 1, 2, 3)


def from_frames(frame: Tensor) -> Spikes:
    """Tonic's frames `[samples, T, P, H, W]` (counts) -> spikes uint8 `[samples, P, H, W, T]`."""
    return (frame > 0).to(torch.uint8).permute(0, 2, 3, 4, 1).contiguous()


def _one(spikes: Tensor, bin_us: int, original: Events | None, sample: int) -> Events:
    left, kept = spikes.numpy().astype(bool), np.zeros(0, dtype=DTYPE)
    if original is not None:
        column, row, time, polarity = _fields(original, sample)
        step = time // bin_us
        late = step >= left.shape[3]
        there = left[polarity, row, column, np.where(late, 0, step)] | late
        kept = _structured(column[there], row[there], time[there], polarity[there])
        left = left.copy()
        left[polarity[~late], row[~late], column[~late], step[~late]] = False
    polarity, row, column, step = np.nonzero(left)
    made = _structured(column, row, step * bin_us + bin_us // 2, polarity)
    found = np.concatenate([kept, made])
    ordered: Events = found[np.lexsort((found["x"], found["y"], found["p"], found["t"]))]
    return ordered


def _structured(column: Any, row: Any, time: Any, polarity: Any) -> Events:
    found = np.zeros(len(time), dtype=DTYPE)
    found["x"], found["y"], found["t"], found["p"] = column, row, time, polarity
    return found


def _fields(events: Events, sample: int) -> list[npt.NDArray[np.int64]]:
    names = events.dtype.names or ()
    for name in FIELDS:
        if name not in names:
            raise DatasetError(f"events: sample {sample} has no field {name!r}, need x, y, t, p")
    return [events[name].astype(np.int64) for name in FIELDS]


def _check_bins(steps: int, bin_us: int) -> None:
    if steps < 1 or bin_us < 1:
        raise DatasetError(f"events: steps {steps} and bin_us {bin_us} must be 1 or more")
