"""Networks by name: shipped ones are found without reading the others' cards."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from neurorobust import models
from neurorobust.errors import BadInput, CardError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped networks of which one has a damaged card."""
    for name in ("digits-mlp", "mnist-cnn"):
        shutil.copytree(ROOT / "netx_models" / name, tmp_path / name)
    (tmp_path / "mnist-cnn" / models.CARD_FILE).write_text("{")
    monkeypatch.setattr(models, "shipped_folder", lambda: tmp_path)
    return tmp_path


def test_a_damaged_card_hinders_its_own_network_only(shelf: Path):
    assert models.resolve("digits-mlp").name == "digits-mlp"
    assert models.resolve(str(shelf / "digits-mlp" / "model.net")).card.dataset == "digits"
    with pytest.raises(CardError, match="mnist-cnn"):
        models.resolve("mnist-cnn")
    with pytest.raises(CardError, match="mnist-cnn"):
        _ = models.catalogue()["mnist-cnn"].about


def test_a_name_that_is_not_known_is_refused_with_the_nearest_one(shelf: Path):
    with pytest.raises(BadInput, match="digits-mlp"):
        models.resolve("digits-mpl")


def test_every_name_of_the_catalogue_says_what_it_is():
    entries = models.catalogue()
    assert {"digits-mlp", "mnist-cnn", "fashion-cnn", "nmnist-cnn"} <= set(entries)
    for name, entry in entries.items():
        assert entry.name == name
        assert entry.path.is_file()
        assert entry.about
