"""One labelled set in memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from neurorobust.errors import DatasetError
from neurorobust.types import Labels


@dataclass(frozen=True)
class Dataset:
    """A set in its own order.

    Attributes:
        name: as typed (`digits`, `mnist`, `npz:FILE`, ...).
        split: `train` or `test`; `all` where the source holds one split, which then serves as both.
        x: images `[N, C, H, W]`, uint8 (0..255) or float32 in [0, 1]; or spikes uint8
            `[N, C, H, W, T]`.
        y: int64 `[N]`.
        classes: number of classes.
    """

    name: str
    split: str
    x: Tensor
    y: Labels
    classes: int

    def __len__(self) -> int:
        return int(self.x.shape[0])

    @property
    def domain(self) -> str:
        """`images` or `spikes`."""
        return "spikes" if self.x.dim() == 5 else "images"

    def batch(self, start: int, stop: int) -> tuple[Tensor, Labels]:
        """Samples start..stop: float32 images in [0, 1] or uint8 spikes, and their labels."""
        x = self.x[start:stop]
        if self.domain == "images":
            x = x.to(torch.float32) / 255 if x.dtype == torch.uint8 else x.to(torch.float32)
        return x, self.y[start:stop]

    def __getitem__(self, rows: slice) -> tuple[Tensor, Labels]:
        """`x, y = data[:64]`: as `batch`."""
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise DatasetError(f"{self.name}: step {step} of a slice, need 1")
        return self.batch(start, stop)

    def parts(self, size: int) -> list[slice]:
        """Runs of `size` consecutive samples, the last one shorter: `x, y = data[part]`."""
        starts = range(0, len(self), size)
        return [slice(start, min(start + size, len(self))) for start in starts]

    def digest(self) -> str:
        """SHA-256 of samples and labels, in hex: what a resumed run must agree with."""
        digest = hashlib.sha256(np.ascontiguousarray(self.x.numpy()).data)
        digest.update(np.ascontiguousarray(self.y.numpy()).data)
        return digest.hexdigest()

    def limited(self, limit: int | None) -> Dataset:
        """The first `limit` samples."""
        if limit is None or limit >= len(self):
            return self
        return Dataset(self.name, self.split, self.x[:limit], self.y[:limit], self.classes)


@dataclass(frozen=True)
class Request:
    """What a loader is asked for; the arguments of `neurorobust.datasets.load`."""

    name: str
    split: str
    data_dir: Path | None = None
    download: bool = False
    limit: int | None = None
    steps: int | None = None
    bin_us: int | None = None
