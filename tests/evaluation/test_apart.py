"""What is learnt from and what is scored are different samples."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neurorobust import api
from neurorobust.datasets import Dataset
from neurorobust.datasets.apart import check_apart
from neurorobust.errors import DatasetError
from neurorobust.records import Card, EncoderCard

FACTORIES = """
import torch
from neurorobust.datasets import Dataset

def _rows(seed):
    made = torch.Generator().manual_seed(seed)
    return torch.rand(40, 1, 4, 4, generator=made), torch.arange(40) % 4

def ignores(split):
    return _rows(0)

def shuffles(split):
    x, y = _rows(0)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(len(split)))
    return x[order], y[order]

def honest(split):
    return _rows(1 if split == "train" else 2)

def one(split):
    return Dataset("mine", "all", *_rows(0), 4)
"""


@dataclasses.dataclass(frozen=True)
class _Described:
    card: Card


@pytest.fixture
def loaders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Both ways in which a command takes samples to learn from beside those it scores."""
    (tmp_path / "my_splits.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    encoder = EncoderCard(kind="drive", mean=0.0, std=1.0)
    network: Any = _Described(Card(encoder=encoder, steps=8, readout="count"))

    def recipe(name: str, limit: int) -> Dataset | None:
        return api.validation_data(network, name, limit=limit)[1]

    def adversary(name: str, limit: int) -> Dataset | None:
        scored = api.scored_data(network, name, limit=limit)
        return api.known_data(network, scored, 8, name)

    yield recipe, adversary
    sys.modules.pop("my_splits", None)


@pytest.mark.parametrize("way", [0, 1])
@pytest.mark.parametrize(("factory", "both"), [("ignores", r"\d+"), ("shuffles", r"\d+")])
def test_a_factory_that_ignores_its_split_is_refused(
    loaders: tuple[Callable[[str, int], Dataset | None], ...], way: int, factory: str, both: str
) -> None:
    with pytest.raises(DatasetError) as refused:
        loaders[way](f"my_splits:{factory}", 20)
    said = str(refused.value)
    assert re.match(rf"my_splits:{factory}: {both} of 20 scored samples \(first: \d+\)", said), said
    assert "return other samples for each split" in said


@pytest.mark.parametrize("way", [0, 1])
def test_honest_splits_are_taken(
    loaders: tuple[Callable[[str, int], Dataset | None], ...], way: int
) -> None:
    learnt = loaders[way]("my_splits:honest", 20)
    assert learnt is not None
    assert len(learnt) > 0


def test_a_factory_with_one_split_says_so_and_is_cut_in_two(
    loaders: tuple[Callable[[str, int], Dataset | None], ...],
) -> None:
    recipe, adversary = loaders
    assert recipe("my_splits:one", 20) is None
    learnt = adversary("my_splits:one", 20)
    assert learnt is not None
    assert learnt.split == "all"
    assert learnt.y.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    with pytest.raises(DatasetError, match="all 40 samples are scored"):
        adversary("my_splits:one", 40)


def test_the_two_splits_of_a_file_are_compared_too() -> None:
    rows = np.arange(4 * 16, dtype=np.uint8).reshape(4, 1, 4, 4)
    labels = torch.tensor([0, 1, 0, 1])
    scored = Dataset("npz:a.npz", "test", torch.from_numpy(rows), labels, 2)
    shared = rows[[2, 3]] + np.uint8(0)
    shared[1] += 1
    learnt = Dataset("npz:a.npz", "train", torch.from_numpy(shared), labels[:2], 2)
    with pytest.raises(DatasetError, match=r"1 of 4 scored samples \(first: 2\) are among the 2"):
        check_apart(scored, learnt)
    check_apart(dataclasses.replace(scored, name="digits"), learnt)
