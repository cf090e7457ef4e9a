"""One query of the target and the spikes that a random encoder drew, so that it can be replayed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neurorobust.backends.threads import threads
from neurorobust.classifier import Classifier
from neurorobust.types import Labels, Spikes

Arrays: TypeAlias = "dict[str, npt.NDArray[np.generic]]"


def score(
    classifier: Classifier, x: Tensor, generator: torch.Generator
) -> tuple[Labels, Spikes | None]:
    """The target's labels of x, and the spikes that a random encoder drew for this very query."""
    with torch.no_grad():
        inputs = classifier.encoder.encode(x, generator)
        labels = classifier.readout.labels(classifier.backend.run(inputs))
    return labels, inputs.values if classifier.encoder.random and not inputs.driven else None


def pack(spikes: Spikes) -> npt.NDArray[np.generic]:
    """uint8 `[batch, ceil(entries / 8)]`, the first entry in the highest bit."""
    return np.packbits(spikes.flatten(1).numpy(), axis=1)


def unpack(bits: npt.NDArray[np.generic], shape: tuple[int, ...]) -> Spikes:
    """What `pack` packed, with one sample's shape C, H, W, time."""
    entries = int(np.prod(shape))
    flat = np.unpackbits(bits.astype(np.uint8), axis=1, count=entries)
    return torch.from_numpy(flat.reshape(len(bits), *shape))


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: sums of floats in one order, however many cores there are.

    What is exact may go on with several: its floats do not depend on how many.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threads(before):
            yield
    finally:
        torch.set_num_threads(before)
