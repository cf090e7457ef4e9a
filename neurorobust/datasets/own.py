"""Anyone's own data: arrays, a torch Dataset or DataLoader."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from neurorobust.datasets.base import Dataset
from neurorobust.datasets.check import checked
from neurorobust.errors import DatasetError

NAME = "arrays"


def from_arrays(
    x: Any, y: Any, name: str = NAME, split: str = "test", classes: int | None = None
) -> Dataset:
    """Arrays or tensors as a set.

    Args:
        x: images `[N, C, H, W]`, uint8 or floats in [0, 1]; or spikes `[N, C, H, W, T]` of 0 and 1,
            of any dtype.
        y: integers `[N]`.
        name: what results call it.
        split: `train` or `test`.
        classes: how many there are; None: the largest label + 1.

    Raises:
        DatasetError: values, shapes or labels that are none of this, with the first such sample.

    Example:
        >>> from_arrays(torch.zeros(3, 1, 2, 2), [0, 1, 1]).classes
        2
    """
    return checked(name, split, x, y, classes)


def of(data: Any, name: str = NAME, classes: int | None = None) -> Dataset:
    """Whatever holds samples and labels, as a set, whole in memory.

    Args:
        data: a `Dataset`; a pair (x, y), see `from_arrays`; a torch Dataset of pairs or a
            DataLoader of batches of them, in their own order.
        name: what results call it.
        classes: see `from_arrays`; of a `Dataset` its own are kept.

    Raises:
        DatasetError: none of these, or unsound data.

    Example:
        >>> of((torch.zeros(3, 1, 2, 2), torch.tensor([0, 1, 1]))).domain
        'images'
    """
    if isinstance(data, Dataset):
        return data
    if isinstance(data, (tuple, list)) and len(data) == 2:
        return from_arrays(data[0], data[1], name, classes=classes)
    joined: Callable[[list[torch.Tensor]], torch.Tensor]
    if isinstance(data, DataLoader):
        parts = [(torch.as_tensor(x), torch.as_tensor(y)) for x, y in _pairs(data, name)]
        joined = torch.cat
    elif isinstance(data, TorchDataset):
        known: Any = data
        pairs = _pairs((known[place] for place in range(len(known))), name)
        parts = [(torch.as_tensor(x), torch.as_tensor(y)) for x, y in pairs]
        joined = torch.stack
    else:
        raise DatasetError(
            f"{name}: a {type(data).__name__}, need a Dataset, (x, y), a torch Dataset or "
            "DataLoader"
        )
    if not parts:
        raise DatasetError(f"{name}: no samples")
    try:
        x, y = joined([x for x, _ in parts]), joined([y for _, y in parts])
    except RuntimeError:
        shapes = sorted({tuple(x.shape) for x, _ in parts})
        raise DatasetError(f"{name}: samples of different shapes, {shapes[:2]}") from None
    return from_arrays(x, y, name=name, classes=classes)


def _pairs(items: Iterable[Any], name: str) -> Iterable[tuple[Any, Any]]:
    """Each of them, if it is a pair.

    Raises:
        DatasetError: it is not.
    """
    for item in items:
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise DatasetError(f"{name}: yields a {type(item).__name__}, need pairs (x, y)")
        yield item[0], item[1]
