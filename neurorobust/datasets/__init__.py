"""Labelled data: what `--dataset` names.

digits            8x8 grey digits bundled with scikit-learn; the offline default (digits.py)
mnist             28x28 grey digits          } through torchvision, in `--data-dir` (images.py)
fashion-mnist     28x28 grey clothes         }
cifar10           32x32 colour pictures      }
nmnist-small      34x34 events of digits, in `--data-dir` (nmnist.py)
npz:FILE          anyone's own arrays: images, spikes or events (npz.py)
module:factory    anyone's own Python: `factory(split)` (factory.py)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from neurorobust.datasets import digits, factory, images, nmnist, npz
from neurorobust.datasets.base import Dataset, Request
from neurorobust.datasets.own import from_arrays, of
from neurorobust.errors import DatasetError
from neurorobust.support.names import unknown

__all__ = ["NAMED", "Dataset", "check_name", "from_arrays", "load", "of"]

NAMED: dict[str, Callable[[Request], Dataset]] = {
    "digits": digits.load,
    "mnist": images.load,
    "fashion-mnist": images.load,
    "cifar10": images.load,
    "nmnist-small": nmnist.load,
}
SPLITS = ("train", "test")


def load(
    name: str,
    split: str = "test",
    data_dir: Path | str | None = None,
    download: bool = False,
    limit: int | None = None,
    steps: int | None = None,
    bin_us: int | None = None,
) -> Dataset:
    """Load one split of a set, whole and checked: it is sound or it is refused.

    Args:
        name: as in the table above.
        split: `train` or `test`.
        data_dir: folder of the torchvision sets and of `events/`.
        download: let torchvision fetch a missing set into `data_dir`.
        limit: keep the first `limit` samples, in the set's own order.
        steps: time steps that events are binned into (event files only).
        bin_us: width of such a bin in microseconds (event files only; `nmnist-small` has its own
            default).

    Raises:
        DatasetError: unknown, missing or unsound data.
        UnavailableError: torchvision is needed and cannot be imported.
    """
    if split not in SPLITS:
        raise DatasetError(f"dataset {name}: split {split!r} unknown, known: {', '.join(SPLITS)}")
    if limit is not None and limit < 1:
        raise DatasetError(f"dataset {name}: limit {limit} below 1")
    folder = None if data_dir is None else Path(data_dir)
    request = Request(name, split, folder, download, limit, steps, bin_us)
    return _loader(name)(request).limited(limit)


def check_name(name: str) -> None:
    """Refuse a name that no loader here knows; nothing is loaded.

    Raises:
        DatasetError: with the names that are known.
    """
    _loader(name)


def _loader(name: str) -> Callable[[Request], Dataset]:
    if name in NAMED:
        return NAMED[name]
    prefix, colon, rest = name.partition(":")
    if colon and prefix and rest:
        return npz.load if prefix == "npz" else factory.load
    raise DatasetError(unknown("dataset", name, [*NAMED, "npz:FILE", "module:factory"]))
