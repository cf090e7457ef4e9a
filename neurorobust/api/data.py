"""The data of a network: what is scored, and samples beside it that are not."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from neurorobust import datasets
from neurorobust.classifier import Network
from neurorobust.datasets import Dataset
from neurorobust.datasets.apart import check_apart
from neurorobust.errors import DatasetError
from neurorobust.evaluation import held_out


def scored_data(
    network: Network,
    name: str | None = None,
    *,
    data_dir: Path | None = None,
    download: bool = False,
    limit: int | None = None,
    bin_us: int | None = None,
) -> Dataset:
    """The test split of the set that is named, or else of the one on the network's card.

    Args:
        network: whose card says how many time steps events are binned into.
        name: of the set; None: the card's.
        data_dir: where the data sets lie.
        download: fetch a missing set.
        limit: the first so many samples; None: all.
        bin_us: event files: width of a step in microseconds.

    Raises:
        DatasetError: none named, or it cannot be loaded.

    Example:
        >>> len(scored_data(load("digits-mlp"), limit=20))
        20
    """
    return _split(network, name, "test", data_dir, download, bin_us).limited(limit)


def validation_data(
    network: Network,
    name: str | None = None,
    *,
    data_dir: Path | None = None,
    download: bool = False,
    limit: int | None = None,
    bin_us: int | None = None,
) -> tuple[Dataset, Dataset | None]:
    """As `scored_data`, and beside it samples that are not scored, where there are any.

    Args:
        network: as there.
        name: as there.
        data_dir: as there.
        download: as there.
        limit: as there.
        bin_us: as there.

    Raises:
        DatasetError: none named, it cannot be loaded, or its splits share samples.

    Example:
        >>> scored, beside = validation_data(load("digits-mlp"), limit=20)
        >>> (len(scored), len(beside) > 0)
        (20, True)
    """
    whole = _split(network, name, "test", data_dir, download, bin_us)
    data = whole.limited(limit)
    train = partial(_split, network, name, "train", data_dir, download, bin_us)
    beside = held_out(whole, len(data), train)
    if beside is not None:
        check_apart(data, beside)
    return data, beside


def known_data(
    network: Network,
    scored: Dataset,
    count: int,
    name: str | None = None,
    *,
    data_dir: Path | None = None,
    download: bool = False,
) -> Dataset:
    """Samples for an adversary to learn from: the first of the training split.

    Where one split serves as both, those behind the scored ones.

    Args:
        network: as in `scored_data`.
        scored: what the adversary must not know.
        count: samples at most.
        name: as there.
        data_dir: as there.
        download: as there.

    Raises:
        DatasetError: it cannot be loaded, its splits share samples, or nothing is left.

    Example:
        >>> network = load("digits-mlp")
        >>> len(known_data(network, scored_data(network, limit=20), 8))
        8
    """
    train = _split(network, name, "train", data_dir, download, None)
    if train.split != "all":
        known = train.limited(count)
        check_apart(scored, known)
        return known
    some = slice(len(scored), len(scored) + count)
    if not len(train.y[some]):
        raise DatasetError(
            f"{scored.name}: all {len(scored)} samples are scored, none is left for the adversary; "
            "a smaller --limit leaves some"
        )
    return Dataset(train.name, train.split, train.x[some], train.y[some], train.classes)


def _split(
    network: Network,
    name: str | None,
    split: str,
    data_dir: Path | None,
    download: bool,
    bin_us: int | None,
) -> Dataset:
    chosen = name or network.card.dataset
    if chosen is None:
        raise DatasetError("--dataset: not given, and the card names none")
    steps = network.card.steps
    return datasets.load(chosen, split, data_dir, download, steps=steps, bin_us=bin_us)
