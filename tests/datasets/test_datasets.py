from __future__ import annotations

import hashlib
import importlib
import io
import os
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from neurorobust import datasets
from neurorobust.datasets import load
from neurorobust.errors import DatasetError, UnavailableError


def needs(folder: str) -> Path:
    root = os.environ.get("NEUROROBUST_DATA")
    if root is None or not (Path(root) / folder).exists():
        pytest.skip(f"NEUROROBUST_DATA does not point at a folder with {folder}")
    return Path(root)


def vision() -> ModuleType:
    try:
        return importlib.import_module("torchvision.datasets")
    except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch
        pytest.skip(f"torchvision cannot be imported: {error}")


def images(n: int = 6) -> dict[str, np.ndarray]:
    x = np.random.default_rng(0).random((n, 1, 3, 4))
    return {"x": x, "y": np.arange(n) % 3}


def save(path: Path, **arrays: np.ndarray) -> str:
    np.savez(path, **arrays)
    return f"npz:{path}"


def test_digits_are_split_once_and_for_all():
    train, test = load("digits", "train"), load("digits")
    assert (train.name, train.split, test.split) == ("digits", "train", "test")
    assert (len(train), len(test), train.classes) == (1442, 355, 10)
    assert test.x.dtype == torch.float32
    assert test.x.shape == (355, 1, 8, 8)
    assert torch.equal(test.x * 16, torch.round(test.x * 16))
    assert (float(test.x.min()), float(test.x.max())) == (0.0, 1.0)
    assert test.y[:12].tolist() == [5, 0, 9, 8, 7, 1, 2, 6, 3, 4, 0, 2]
    shares = torch.bincount(test.y) / (torch.bincount(test.y) + torch.bincount(train.y))
    assert torch.all((shares - 0.2).abs() < 0.01)
    pixels = (test.x * 16).to(torch.uint8).numpy().tobytes()
    assert hashlib.sha256(pixels).hexdigest().startswith("208645cd23e83018")


def test_digits_hold_every_sample_once():
    from sklearn.datasets import load_digits

    both = torch.cat([load("digits", "train").x, load("digits").x]) * 16
    ours = sorted(row.tobytes() for row in both.to(torch.uint8).numpy())
    theirs = sorted(row.tobytes() for row in load_digits().images.astype(np.uint8))
    assert ours == theirs


def test_limit_keeps_the_first_samples():
    whole, some = load("digits"), load("digits", limit=7)
    assert torch.equal(some.x, whole.x[:7])
    assert torch.equal(some.y, whole.y[:7])
    assert some.classes == 10
    with pytest.raises(DatasetError, match="dataset digits: limit 0 below 1"):
        load("digits", limit=0)


@pytest.mark.parametrize("name", ["imagenet", ""])
def test_unknown_names_list_the_known(name):
    known = "known: digits, mnist, fashion-mnist, cifar10, nmnist-small, npz:FILE, module:factory"
    with pytest.raises(DatasetError, match=f"unknown, {known}"):
        load(name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("digit", "digits"),
        ("fasion-mnist", "fashion-mnist"),
        ("npz:", "npz:FILE"),
        (":factory", "module:factory"),
    ],
)
def test_misspelt_names_are_recognised(name, meant):
    with pytest.raises(DatasetError, match=rf"dataset '{name}': unknown, did you mean {meant}"):
        load(name)


def test_unknown_split():
    with pytest.raises(DatasetError, match="split 'val' unknown, known: train, test"):
        load("digits", "val")


@pytest.mark.parametrize(
    ("name", "folder", "shape", "first"),
    [
        ("mnist", "MNIST/raw", (1, 28, 28), [7, 2, 1, 0]),
        ("fashion-mnist", "FashionMNIST/raw", (1, 28, 28), [9, 2, 1, 1]),
        ("cifar10", "cifar-10-batches-py", (3, 32, 32), [3, 8, 8, 0]),
    ],
)
def test_torchvision_sets(name, folder, shape, first):
    vision()
    data = load(name, "test", needs(folder))
    assert data.x.dtype == torch.uint8
    assert data.x.shape == (10_000, *shape)
    assert data.x.is_contiguous()
    assert (data.y.dtype, data.y[:4].tolist(), data.classes) == (torch.int64, first, 10)
    batch, labels = data.batch(2, 5)
    assert batch.dtype == torch.float32
    assert torch.equal(batch, data.x[2:5].to(torch.float32) / 255)
    assert torch.equal(labels, data.y[2:5])


def test_cifar_channels_come_first():
    root = needs("cifar-10-batches-py")
    reference = vision().CIFAR10(root, train=False).data[:3]
    assert np.array_equal(load("cifar10", "test", root).x[:3].numpy(), np.moveaxis(reference, 3, 1))


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10"])
def test_missing_data_say_what_to_do(name, tmp_path):
    vision()
    with pytest.raises(
        DatasetError, match=f"{name}: no data folder: give --data-dir DIR .*--download"
    ):
        load(name)
    with pytest.raises(DatasetError, match=f"{name}: not found in .*--data-dir.*add --download"):
        load(name, data_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_damaged_mnist(tmp_path):
    vision()
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            (raw / f"{part}-{kind}-ubyte").write_bytes(b"\x00\x00\x08\x01")
    with pytest.raises(DatasetError, match=r"mnist: .*MNIST/raw is damaged \(.*delete it"):
        load("mnist", data_dir=tmp_path)


def test_failed_download_is_one_line(tmp_path, monkeypatch):
    torchvision = vision()

    def offline(*args: object, **kwargs: object) -> None:
        print("Downloading ...")
        raise RuntimeError("Error downloading train-images-idx3-ubyte.gz")

    monkeypatch.setattr(torchvision.MNIST, "download", offline)
    stdout = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stdout)
    with pytest.raises(DatasetError, match=r"mnist: cannot fetch or read .*\(Error downloading"):
        load("mnist", data_dir=tmp_path, download=True)
    assert stdout.getvalue() == ""


def test_without_torchvision(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    with pytest.raises(
        UnavailableError, match=r"mnist: needs torchvision, .* install the torchvision"
    ) as info:
        load("mnist", data_dir=tmp_path)
    assert "\n" not in str(info.value)


def test_npz_images(tmp_path):
    arrays = images()
    data = load(save(tmp_path / "a.npz", **arrays))
    assert (data.split, data.domain, data.classes) == ("all", "images", 3)
    assert data.x.dtype == torch.float32
    assert np.array_equal(data.x.numpy(), arrays["x"].astype(np.float32))
    assert (data.y.dtype, data.y.tolist()) == (torch.int64, [0, 1, 2, 0, 1, 2])
    assert torch.equal(load(data.name, "train").x, data.x)
    bytes_ = (arrays["x"] * 255).astype(np.uint8)
    kept = load(save(tmp_path / "b.npz", x=bytes_, y=arrays["y"]), limit=2)
    assert kept.x.dtype == torch.uint8
    assert np.array_equal(kept.x.numpy(), bytes_[:2])


def test_npz_with_two_splits(tmp_path):
    test, train = images(4), images(5)
    name = save(
        tmp_path / "a.npz", x=test["x"], y=test["y"], x_train=train["x"], y_train=np.arange(5)
    )
    first, second = load(name, "train"), load(name, "test")
    assert (len(first), first.split, first.classes) == (5, "train", 5)
    assert (len(second), second.split, second.classes) == (4, "test", 5)
    half = save(tmp_path / "b.npz", x=test["x"], y=test["y"], x_train=train["x"])
    with pytest.raises(DatasetError, match="no array 'y_train', need"):
        load(half, "train")


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.float32, np.int64])
def test_npz_spikes(tmp_path, dtype):
    x = np.random.default_rng(0).integers(0, 2, (3, 2, 2, 2, 5)).astype(dtype)
    data = load(save(tmp_path / "a.npz", x=x, y=np.array([0, 1, 1], dtype=np.uint8)))
    assert (data.domain, data.classes) == ("spikes", 2)
    assert data.x.dtype == torch.uint8
    assert np.array_equal(data.x.numpy(), x.astype(np.uint8))


def poisoned(value: float) -> np.ndarray:
    x = images()["x"]
    x[4, 0, 2, 1] = value
    return x


Y = np.arange(6) % 3
X = images()["x"]
BAD_ARRAYS = [
    ({"x": poisoned(np.nan), "y": Y}, "sample 4 holds NaN"),
    ({"x": poisoned(1.5), "y": Y}, r"sample 4 holds 1.5, outside \[0, 1\]"),
    ({"x": poisoned(-0.5), "y": Y}, r"sample 4 holds -0.5, outside \[0, 1\]"),
    ({"x": poisoned(np.inf), "y": Y}, r"sample 4 holds inf, outside \[0, 1\]"),
    ({"x": X[:, 0], "y": Y}, r"x has shape \(6, 3, 4\), need \[N, C, H, W\]"),
    ({"x": X.astype(np.int64), "y": Y}, r"x is int64, need uint8 \(0..255\) or floats in \[0, 1\]"),
    ({"x": X.astype(complex), "y": Y}, "x holds complex128, need numbers"),
    ({"x": X[..., None] * 0 + 3, "y": Y}, r"sample 0 holds 3, neither 0 nor 1 \(spikes\)"),
    ({"x": X[:0], "y": Y[:0]}, "no labels"),
    ({"x": X[:, :, :0], "y": Y}, r"x is empty, shape \(6, 1, 0, 4\)"),
    ({"x": X, "y": Y[:5]}, "6 samples in x but 5 labels in y"),
    ({"x": X, "y": Y - 1}, r"sample 0 has label -1, outside \[0, 1048575\]"),
    ({"x": X, "y": Y.astype(np.uint64) + (1 << 63)}, "sample 0 has label 9223372036854775808, out"),
    ({"x": X, "y": Y + 0.5}, r"labels are float64 of shape \(6,\), need integers of shape \[N\]"),
    ({"x": X, "y": Y[:, None]}, r"labels are int64 of shape \(6, 1\), need integers"),
    ({"x": X, "y": Y.astype("U1")}, "y holds <U1, need numbers"),
    ({"x": X, "labels": Y}, "no array 'y', need x, y; it holds labels, x"),
    ({"x": X, "y": Y.astype(object)}, "array y holds Python objects, which are never loaded"),
]


@pytest.mark.parametrize(("arrays", "message"), BAD_ARRAYS, ids=[text for _, text in BAD_ARRAYS])
def test_npz_that_is_refused(tmp_path, arrays, message):
    name = save(tmp_path / "a.npz", **arrays)
    with pytest.raises(DatasetError, match=message) as info:
        load(name)
    assert str(info.value).startswith(name)
    assert "\n" not in str(info.value)


def test_npz_files_that_are_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"npz:.*none.npz: no such file"):
        load(f"npz:{tmp_path}/none.npz")
    with pytest.raises(DatasetError, match="not a regular file"):
        load(f"npz:{tmp_path}")
    text = tmp_path / "text.npz"
    text.write_text("x, y")
    with pytest.raises(DatasetError, match="not a readable npz file"):
        load(f"npz:{text}")
    single = tmp_path / "single.npz"
    with single.open("wb") as file:
        np.save(file, X)
    with pytest.raises(DatasetError, match="not a readable npz file"):
        load(f"npz:{single}")
    whole = tmp_path / "whole.npz"
    np.savez(whole, x=X, y=Y)
    content = whole.read_bytes()
    whole.write_bytes(content[: len(content) // 2])
    with pytest.raises(DatasetError, match="not a readable npz file"):
        load(f"npz:{whole}")
    whole.write_bytes(content[:300] + b"\xff" * 8 + content[308:])  # inside the first array
    with pytest.raises(DatasetError, match="damaged"):
        load(f"npz:{whole}")


def header(shape: tuple[int, ...], content: bytes = b"") -> bytes:
    file = io.BytesIO()
    described = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, described)
    return file.getvalue() + content


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (header((10**6, 1, 10**4, 10**4)), r"x is damaged: it declares 800000000000000 bytes, 0 a"),
        (header((-1, 1, 3, 4)), r"x is damaged: shape \(-1, 1, 3, 4\)"),
        (header((6, 1, 3, 4), b"\x00" * 16), "damaged"),
        (b"no array", "x is damaged"),
        (b"\x93NUMPY\x09\x00", "x is damaged"),
        (b"", "x is damaged"),
    ],
    ids=["huge", "negative", "short", "text", "version", "empty"],
)
def test_hostile_npz(tmp_path, x, message):
    path = tmp_path / "a.npz"
    labels = io.BytesIO()
    np.save(labels, Y)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", x)
        archive.writestr("y.npy", labels.getvalue())
    with pytest.raises(DatasetError, match=message):
        load(f"npz:{path}")


def events() -> dict[str, np.ndarray]:
    """Three samples on 3 x 4 pixels: five events, none, two."""
    return {
        "x": np.array([0, 3, 3, 1, 2, 1, 0], dtype=np.uint8),
        "y": np.array([0, 2, 2, 1, 0, 1, 2], dtype=np.uint8),
        "p": np.array([0, 1, 1, 0, 1, 1, 0], dtype=np.uint8),
        "t": np.array([0, 99, 98, 100, 300, 299, 1], dtype=np.uint32),
        "offset": np.array([0, 5, 5, 7]),
        "label": np.array([2, 0, 4], dtype=np.uint8),
        "height": np.int32(3),
        "width": np.int32(4),
    }


def test_events_are_binned(tmp_path):
    name = save(tmp_path / "e.npz", **events())
    data = load(name, steps=3, bin_us=100)
    assert (data.split, data.domain, data.classes) == ("all", "spikes", 5)
    assert data.x.dtype == torch.uint8
    assert data.x.shape == (3, 2, 3, 4, 3)
    assert data.y.tolist() == [2, 0, 4]
    found = [tuple(place) for place in data.x.nonzero().tolist()]
    assert found == [  # sample, polarity, row, column, step; the event at 300 µs is outside
        (0, 0, 0, 0, 0),
        (0, 0, 1, 1, 1),
        (0, 1, 2, 3, 0),
        (2, 0, 2, 0, 0),
        (2, 1, 1, 1, 2),
    ]
    some = load(name, steps=3, bin_us=100, limit=1)
    assert torch.equal(some.x, data.x[:1])
    assert (some.classes, some.y.tolist()) == (5, [2])


def test_nmnist_events():
    path = needs("events/nmnist_small_test.npz") / "events" / "nmnist_small_test.npz"
    data = load(f"npz:{path}", steps=20, bin_us=15_500)
    raw = np.load(path)
    assert data.x.shape == (100, 2, 34, 34, 20)
    assert data.y.tolist() == raw["label"].tolist()
    seen = {
        (int(p), int(y), int(x), int(t) // 15_500)
        for p, y, x, t in zip(*(raw[k][: raw["offset"][1]] for k in "pyxt"), strict=True)
        if t < 310_000
    }
    assert {tuple(place) for place in data.x[0].nonzero().tolist()} == seen


def test_nmnist_small_has_two_splits_and_its_own_bins():
    root = needs("events/nmnist_small_train.npz")
    train = load("nmnist-small", "train", root, steps=16)
    test = load("nmnist-small", "test", root, steps=16)
    assert (train.name, train.split, train.classes) == ("nmnist-small", "train", 10)
    assert (test.name, test.split, test.classes) == ("nmnist-small", "test", 10)
    assert (train.x.shape, test.x.shape) == ((1000, 2, 34, 34, 16), (100, 2, 34, 34, 16))
    file = f"npz:{root / 'events' / 'nmnist_small_test.npz'}"
    assert torch.equal(test.x, load(file, steps=16, bin_us=20_000).x)
    finer = load("nmnist-small", "test", root, steps=16, bin_us=10_000)
    assert torch.equal(finer.x, load(file, steps=16, bin_us=10_000).x)
    assert not torch.equal(finer.x, test.x)
    assert len(load("nmnist-small", "test", root, steps=16, limit=7)) == 7


def test_nmnist_small_that_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="nmnist-small: no data folder: give --data-dir"):
        load("nmnist-small", steps=16)
    with pytest.raises(DatasetError, match=r"not found: .*nmnist_small_train.npz: point"):
        load("nmnist-small", "train", tmp_path, steps=16)
    (tmp_path / "events").mkdir()
    path = tmp_path / "events" / "nmnist_small_test.npz"
    save(path, **events())
    with pytest.raises(DatasetError, match="nmnist-small: holds events, needs steps"):
        load("nmnist-small", data_dir=tmp_path)
    assert load("nmnist-small", data_dir=tmp_path, steps=4).x.shape == (3, 2, 3, 4, 4)
    path.write_bytes(b"PK")
    with pytest.raises(DatasetError, match=r"npz:.*nmnist_small_test.npz: not a readable npz file"):
        load("nmnist-small", data_dir=tmp_path, steps=4)


BAD_EVENTS = [
    ({}, {"steps": None}, r"holds events, needs steps and bin_us"),
    ({}, {"bin_us": None}, r"holds events, needs steps and bin_us"),
    ({}, {"steps": 0}, "steps 0 and bin_us 100 must be 1 or more"),
    ({"x": np.full(7, 4)}, {}, r"event 0 has x 4, outside \[0, 3\]"),
    ({"y": np.full(7, -1)}, {}, r"event 0 has y -1, outside \[0, 2\]"),
    ({"p": np.array([0, -1, 1, 0, 1, 1, 0])}, {}, r"event 1 has p -1, outside \[0, 1\]"),
    (
        {"t": np.full(7, 2**64 - 1, dtype=np.uint64)},
        {},
        "event 0 has t 18446744073709551615, outside",
    ),
    ({"t": np.zeros(7)}, {}, r"t is float64 of shape \(7,\), need integers of one axis"),
    ({"p": np.zeros(6, dtype=np.uint8)}, {}, "6 entries in p but 7 in t"),
    ({"offset": np.array([0, 5, 7])}, {}, "2 samples in offset but 3 labels"),
    ({"offset": np.array([0])}, {}, "offset has 1 entries, need samples"),
    ({"offset": np.array([0, 6, 5, 7])}, {}, "offset must rise from 0 to the number of events, 7"),
    ({"offset": np.array([0, 5, 5, 8])}, {}, "offset must rise from 0 to the number of events, 7"),
    ({"label": np.array([0, 1, -1])}, {}, r"sample 2 has label -1, outside"),
    ({"height": np.int64(0)}, {}, r"height 0 outside \[1, 65536\]"),
    ({"width": np.float64(4)}, {}, r"width is float64 of shape \(\), need 1 integer"),
    ({"t": np.full(7, 900)}, {}, "sample 0 has no event in its first 300 µs"),
    (
        {"height": np.int64(65_536), "width": np.int64(65_536)},
        {},
        "binned to .* beyond the limit of",
    ),
]


@pytest.mark.parametrize(
    ("changes", "options", "message"), BAD_EVENTS, ids=[text for *_, text in BAD_EVENTS]
)
def test_events_that_are_refused(tmp_path, changes, options, message):
    name = save(tmp_path / "e.npz", **(events() | changes))
    with pytest.raises(DatasetError, match=message) as info:
        load(name, **({"steps": 3, "bin_us": 100} | options))
    assert str(info.value).startswith(name)


def test_events_without_a_key(tmp_path):
    arrays = events()
    del arrays["height"]
    with pytest.raises(DatasetError, match="no array 'height', need x, y, p, t, offset"):
        load(save(tmp_path / "e.npz", **arrays), steps=3, bin_us=100)


FACTORIES = """
import torch
from neurorobust.datasets import Dataset

def pair(split):
    return torch.full((4, 1, 2, 2), 0.25 if split == "train" else 0.75), torch.tensor([0, 1, 2, 0])

def whole(split):
    x, y = pair(split)
    return Dataset("mine", split, x, y, 7)

def broken(split):
    raise OSError("no disk\\nreally")

def nonsense(split):
    return "x"

def sick(split):
    x, y = pair(split)
    return x * float("nan"), y

constant = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "my_own_factories.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    yield "my_own_factories"
    sys.modules.pop("my_own_factories", None)


def test_factory(module):
    path = list(sys.path)
    train, test = load(f"{module}:pair", "train"), load(f"{module}:whole", "test", limit=2)
    assert (train.name, train.split, train.classes) == ("my_own_factories:pair", "train", 3)
    assert torch.equal(train.x, torch.full((4, 1, 2, 2), 0.25))
    assert (test.name, test.split, test.classes) == ("my_own_factories:whole", "test", 7)
    assert torch.equal(test.x, torch.full((2, 1, 2, 2), 0.75))
    assert sys.path == path


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("missing", "my_own_factories has no callable 'missing'"),
        ("constant", "my_own_factories has no callable 'constant'"),
        ("broken", r"the factory raised OSError: no disk$"),
        ("nonsense", r"the factory returned str, need \(x, y\) or Dataset"),
        ("sick", "sample 0 holds NaN"),
    ],
)
def test_factories_that_are_refused(module, factory, message):
    with pytest.raises(DatasetError, match=message):
        load(f"{module}:{factory}")


def test_module_that_is_not_there():
    with pytest.raises(DatasetError, match=r"cannot import 'no_such_module' \(ModuleNotFoundError"):
        load("no_such_module:make")


def test_registry_is_in_sight():
    assert list(datasets.NAMED) == [
        "digits",
        "mnist",
        "fashion-mnist",
        "cifar10",
        "nmnist-small",
    ]
