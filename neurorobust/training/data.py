"""The training part, the validation part, and their batches: the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from neurorobust.datasets import Dataset
from neurorobust.encoders import ENCODERS, Encoder, Entrance
from neurorobust.errors import DatasetError
from neurorobust.networks import NetworkSpec
from neurorobust.types import Labels

# What a stream of random numbers is for; part of its seed, so that no two streams meet.
SPLIT, ORDER, TRAIN_DRAWS, VALIDATION_DRAWS = range(4)


def stream(seed: int, *purpose: int) -> torch.Generator:
    """A generator of its own for every purpose (a name above, epoch, batch ...)."""
    state = np.random.SeedSequence(seed, spawn_key=purpose).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)


def encoder_of(spec: NetworkSpec) -> Encoder:
    """The encoder that a network is trained with."""
    entrance = Entrance(spec.input_shape, spec.input_weight, spec.input_bias)
    return ENCODERS[spec.encoder].make(spec, spec.steps, entrance)


def check_fit(spec: NetworkSpec, data: Dataset) -> None:
    """Refuse data that the network cannot take.

    Raises:
        DatasetError: domain, shape, steps or classes differ.
    """
    encoder = encoder_of(spec)
    if data.domain != encoder.domain:
        raise DatasetError(
            f"{data.name}: holds {data.domain}, encoder {spec.encoder} takes {encoder.domain}"
        )
    shape = tuple(data.x.shape[1:4])
    if np.prod(shape) != np.prod(spec.input_shape):
        raise DatasetError(
            f"{data.name}: shape {shape} does not fit the network's input {spec.input_shape}"
        )
    if data.domain == "spikes" and data.x.shape[4] != spec.steps:
        raise DatasetError(
            f"{data.name}: {data.x.shape[4]} time steps, the network has {spec.steps}"
        )
    if data.classes > spec.classes:
        raise DatasetError(f"{data.name}: {data.classes} classes, the network has {spec.classes}")


def split(data: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset]:
    """Training part and validation part, stratified: of each class `share` of the samples, rounded.

    Raises:
        DatasetError: one of the parts is empty.
    """
    held_out = torch.zeros(len(data), dtype=torch.bool)
    for label in range(data.classes):
        members = (data.y == label).nonzero().flatten()
        order = torch.randperm(len(members), generator=stream(seed, SPLIT, label))
        held_out[members[order[: round(share * len(members))]]] = True
    if not 0 < int(held_out.sum()) < len(data):
        raise DatasetError(
            f"{data.name}: {len(data)} samples cannot be split, validation share {share}"
        )
    return pick(data, ~held_out), pick(data, held_out)


def pick(data: Dataset, which: Tensor) -> Dataset:
    """The samples of these indices (or of this mask)."""
    return Dataset(data.name, data.split, data.x[which], data.y[which], data.classes)


class Batches:
    """Batches of a set: in its own order, or in an order of the epoch's.

    Args:
        data: the set.
        size: samples a batch; the last may be smaller.
        order: gives the indices when an epoch starts; None: the set's own order.
    """

    def __init__(self, data: Dataset, size: int, order: Callable[[], Tensor] | None = None) -> None:
        self.data, self.size, self.order = data, size, order

    def __len__(self) -> int:
        return -(-len(self.data) // self.size)

    def __iter__(self) -> Iterator[tuple[Tensor, Labels]]:
        indices = self.order() if self.order else torch.arange(len(self.data))
        for start in range(0, len(self.data), self.size):
            chosen = pick(self.data, indices[start : start + self.size])
            yield chosen.batch(0, len(chosen))
