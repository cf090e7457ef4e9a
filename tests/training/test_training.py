from __future__ import annotations

import importlib.util
import json
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from neurorobust import datasets
from neurorobust.datasets import Dataset
from neurorobust.errors import BadInput, DatasetError, OutputError, UnavailableError
from neurorobust.networks import NetworkSpec
from neurorobust.readouts import first_argmax
from neurorobust.training import TrainOptions, checkpoint, load_run, recipe, train
from neurorobust.training.checkpoint import Epoch, State
from neurorobust.training.data import Batches, check_fit, encoder_of, split, stream

HAS_LAVA = importlib.util.find_spec("lava") is not None
FILES = ["card.json", "network.json", "training.json", "weights.safetensors"]
SMALL = NetworkSpec(kind="mlp", input_shape=(1, 8, 8), classes=10, steps=6, hidden=(16,))
QUICK = TrainOptions(epochs=3, batch=32, limit=200)


def lava(test):
    skipped = pytest.mark.skipif(not HAS_LAVA, reason="lava-dl is not installed")
    return pytest.mark.lava(skipped(test))


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path / "weights.safetensors")


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return (
        bool(first)
        and first.keys() == second.keys()
        and all(
            a.dtype == second[name].dtype and torch.equal(a, second[name])
            for name, a in first.items()
        )
    )


def interrupt_at(batch: int):
    def progress(done: int, total: int, what: str) -> None:
        if done == batch:
            signal.raise_signal(signal.SIGINT)

    return progress


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    if not HAS_LAVA:
        pytest.skip("lava-dl is not installed")
    return train(SMALL, "digits", tmp_path_factory.mktemp("runs") / "a", QUICK, command="train a")


@pytest.fixture
def damaged(finished, tmp_path) -> Path:
    """A copy to damage."""
    for name in FILES:
        (tmp_path / name).write_bytes((finished / name).read_bytes())
    return tmp_path


@lava
def test_digits_are_learnt(tmp_path):
    spec, options = recipe("mlp", "digits")
    seen: list[tuple[int, int, str]] = []
    train(spec, "digits", tmp_path / "a", options, progress=lambda *told: seen.append(told))
    network, card, training = load_run(tmp_path / "a")
    x, y = datasets.load("digits").batch(0, 355)
    with torch.no_grad():
        spikes = network(encoder_of(spec).forward(x))
    accuracy = (first_argmax(spikes.sum(-1)) == y).double().mean().item()
    assert accuracy >= 0.95
    assert (card.dataset, card.steps, card.encoder.kind) == ("digits", 16, "drive")
    assert len(training["history"]) == seen[-2][0] * options.epochs // seen[-2][1]
    assert seen[0][2] == f"epoch 1/{options.epochs}"
    assert "validation 9" in seen[-2][2]
    assert seen[-1][:2] == (1, 1)


@lava
def test_a_run_directory(finished):
    assert sorted(path.name for path in finished.iterdir()) == FILES
    network, card, training = load_run(finished)
    assert network.spec == SMALL
    assert not network.training
    assert same(dict(network.state_dict()), weights(finished))
    assert card.training["command"] == training["command"] == "train a"
    assert card.training["split"] == training["split"] == "train"
    assert [epoch["number"] for epoch in training["history"]] == [1, 2, 3]
    best = max(training["history"], key=lambda e: (e["correct"], -e["validation_loss"]))
    assert training["best_epoch"] == best["number"] == card.training["best_epoch"]
    assert {epoch["total"] for epoch in training["history"]} == {20}
    assert training["settings"]["network"]["hidden"] == [16]
    assert {"torch", "lightning", "lava-dl"} <= training["versions"].keys()


@lava
def test_training_is_silent_and_leaves_nothing_else(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("pickle")

    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(torch, "save", refuse)
    before = torch.get_rng_state()
    train(SMALL, "digits", Path("a"), replace(QUICK, epochs=1))
    load_run(Path("a"))
    assert torch.equal(torch.get_rng_state(), before)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert capfd.readouterr().out == ""


@lava
def test_the_seed_decides_the_weights(finished, tmp_path):
    again = train(SMALL, "digits", tmp_path / "a", QUICK)
    other = train(SMALL, "digits", tmp_path / "b", replace(QUICK, seed=1))
    assert same(weights(finished), weights(again))
    assert not same(weights(finished), weights(other))


@lava
@pytest.mark.parametrize("encoder", ["drive", "poisson"])
@pytest.mark.parametrize("batch", [6, 7, 11, 18])  # the end of an epoch, its start, amid, the end
def test_resuming_ends_in_the_same_weights(tmp_path, encoder, batch):
    spec = SMALL.model_copy(update={"encoder": encoder, "hidden": (8,)})
    whole = train(spec, "digits", tmp_path / "whole", QUICK)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(spec, "digits", tmp_path / "cut", QUICK, progress=interrupt_at(batch))
    assert signal.getsignal(signal.SIGINT) is handler
    epochs = (batch - 1) // 6
    assert (tmp_path / "cut" / "last.safetensors").exists() == (epochs > 0)
    if epochs:
        with pytest.raises(BadInput, match="training is not finished, continue it with --resume"):
            load_run(tmp_path / "cut")
    begun: list[int] = []
    cut = train(
        spec,
        "digits",
        tmp_path / "cut",
        QUICK,
        resume=True,
        progress=lambda done, total, what: begun.append(done),
    )
    assert begun[0] == 6 * epochs + 1
    assert same(weights(whole), weights(cut))
    histories = [
        [
            {k: v for k, v in epoch.items() if k != "seconds"}
            for epoch in load_run(run)[2]["history"]
        ]
        for run in (whole, cut)
    ]
    assert histories[0] == histories[1]
    assert sorted(path.name for path in cut.iterdir()) == FILES


@lava
def test_resuming_a_finished_run_returns_it(finished):
    before = {name: (finished / name).stat().st_mtime_ns for name in FILES}
    assert train(SMALL, "digits", finished, QUICK, resume=True) == finished
    assert {name: (finished / name).stat().st_mtime_ns for name in FILES} == before
    with pytest.raises(BadInput, match=r"begun with lr 0.002, not 0.1: start anew"):
        train(SMALL, "digits", finished, replace(QUICK, lr=0.1), resume=True)


@lava
def test_resuming_with_other_settings(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(SMALL, "digits", tmp_path / "a", QUICK, progress=interrupt_at(8))
    with pytest.raises(BadInput, match=r"last.safetensors: begun with seed 0, not 5: start anew"):
        train(SMALL, "digits", tmp_path / "a", replace(QUICK, seed=5), resume=True)
    content = (tmp_path / "a" / "last.safetensors").read_bytes()
    (tmp_path / "a" / "last.safetensors").write_bytes(content[:-10])
    with pytest.raises(BadInput, match=r"last.safetensors: damaged checkpoint .*--overwrite"):
        train(SMALL, "digits", tmp_path / "a", QUICK, resume=True)


@lava
def test_training_stops_when_nothing_improves(tmp_path):
    options = replace(QUICK, epochs=9, patience=2, lr=1e-12)
    train(SMALL, "digits", tmp_path / "a", options)
    training = load_run(tmp_path / "a")[2]
    assert (training["best_epoch"], len(training["history"])) == (1, 3)


@lava
def test_only_the_training_split_is_read(tmp_path, monkeypatch):
    asked: list[str] = []
    load = datasets.load

    def spy(name: str, chosen: str, *args: object, **kwargs: object) -> Dataset:
        asked.append(chosen)
        return load(name, chosen, *args, **kwargs)

    monkeypatch.setattr(datasets, "load", spy)
    train(SMALL, "digits", tmp_path / "a", replace(QUICK, epochs=1))
    assert asked == ["train"]


@lava
def test_spikes_of_ones_own(tmp_path):
    draws = np.random.default_rng(0)
    labels = np.arange(60) % 2
    rates = np.where(labels == 1, 0.8, 0.2).reshape(-1, 1, 1, 1, 1)
    np.savez(tmp_path / "own.npz", x=draws.random((60, 2, 3, 3, 5)) < rates, y=labels)
    name = f"npz:{tmp_path}/own.npz"
    spec, options = recipe("mlp", name, datasets.load(name, "train"))
    assert (spec.encoder, spec.input_shape, spec.steps, spec.classes) == ("direct", (2, 3, 3), 5, 2)
    train(spec, name, tmp_path / "a", replace(options, epochs=10, batch=8))
    _, card, training = load_run(tmp_path / "a")
    assert card.encoder.kind == "direct"
    assert training["split"] == "all"
    assert training["history"][training["best_epoch"] - 1]["correct"] == 6


@lava
def test_a_small_cnn(tmp_path):
    spec = recipe("cnn", "digits")[0].model_copy(update={"steps": 4, "channels": (2,)})
    train(spec, "digits", tmp_path / "a", replace(QUICK, epochs=1))
    network, _, _ = load_run(tmp_path / "a")
    assert network.spec == spec
    assert same(dict(network.state_dict()), weights(tmp_path / "a"))


@lava
def test_existing_output(finished, tmp_path):
    with pytest.raises(OutputError, match=r"exists already, give --resume or --overwrite"):
        train(SMALL, "digits", finished, QUICK)
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(OutputError, match="cannot be written: Not a directory"):
        train(SMALL, "digits", file, QUICK)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds no training run to resume"):
        train(SMALL, "digits", folder, QUICK, resume=True)
    for name in ("training.json", "card.json"):
        (folder / name).write_text("mine")
        with pytest.raises(OutputError, match=rf"{name}: not written by a training run"):
            train(SMALL, "digits", folder, QUICK, overwrite=True)
        assert (folder / name).read_text() == "mine"
        (folder / name).unlink()
    shutil.copytree(finished, folder, dirs_exist_ok=True)
    train(SMALL, "digits", folder, replace(QUICK, epochs=1), overwrite=True)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, "mine.txt"])
    assert load_run(folder)[2]["best_epoch"] == 1


@lava
def test_a_run_in_use_is_refused(tmp_path):
    refused: list[str] = []

    def elsewhere() -> None:
        with pytest.raises(OutputError, match="in use by this process") as caught:
            train(SMALL, "digits", tmp_path / "run", QUICK, resume=True)
        refused.append(str(caught.value))

    def meanwhile(done: int, total: int, what: str) -> None:
        if not refused:
            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()

    train(SMALL, "digits", tmp_path / "run", replace(QUICK, epochs=1), progress=meanwhile)
    assert len(refused) == 1
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted(FILES)


@lava
@pytest.mark.parametrize("name", FILES)
def test_incomplete_runs(damaged, name):
    (damaged / name).unlink()
    with pytest.raises(BadInput, match=f"incomplete: no {name}"):
        load_run(damaged)


@lava
def test_damaged_runs(damaged):
    kept = {name: (damaged / name).read_bytes() for name in FILES}

    def refused(name: str, content: bytes, message: str) -> None:
        (damaged / name).write_bytes(content)
        with pytest.raises(BadInput, match=message) as info:
            load_run(damaged)
        assert "\n" not in str(info.value)
        (damaged / name).write_bytes(kept[name])

    flipped = bytearray(kept["weights.safetensors"])
    flipped[-1] ^= 1
    refused("weights.safetensors", bytes(flipped), "weights.safetensors is damaged: its SHA-256")
    refused("weights.safetensors", b"", "weights.safetensors is damaged: its SHA-256")
    other = kept["network.json"].replace(b"16", b"17")
    refused("network.json", other, "network.json is damaged: its SHA-256")
    refused("card.json", b'{"steps": 0}', r"damaged: card\.json: encoder is missing")
    refused("training.json", b'{"seed": ', "training.json is damaged")
    refused("training.json", b"[]", "training.json is damaged: no SHA-256 of network.json")
    assert load_run(damaged)[2]["best_epoch"] >= 1


@lava
def test_weights_of_another_network(damaged):
    tensors = weights(damaged)
    last = sorted(tensors)[-1]
    tensors[last] = tensors[last][:5].clone()
    save_file(tensors, damaged / "weights.safetensors")
    training = json.loads((damaged / "training.json").read_text())
    training["sha256"]["weights.safetensors"] = _sha256(damaged / "weights.safetensors")
    (damaged / "training.json").write_text(json.dumps(training))
    with pytest.raises(
        BadInput, match=r"weights.safetensors does not fit network.json: .*size mis"
    ):
        load_run(damaged)


def _sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_no_run_at_all(tmp_path):
    with pytest.raises(BadInput, match=r"run .*none: no such directory"):
        load_run(tmp_path / "none")
    with pytest.raises(BadInput, match=r"incomplete: no training.json"):
        load_run(tmp_path)


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, neurorobust.training, neurorobust.datasets\n"
        "print(sorted({'lava', 'lightning', 'torchvision', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "[]\n"


def test_no_cuda_device(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UnavailableError, match="device cuda: torch finds no CUDA device here"):
        train(SMALL, "digits", tmp_path / "a", replace(QUICK, device="cuda"))
    assert not (tmp_path / "a").exists()


def test_without_lava(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "lava"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lava", None)
    with pytest.raises(UnavailableError, match=r"lava-dl needs Python 3\.10"):
        train(SMALL, "digits", tmp_path / "a", QUICK)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs 0 below 1"),
        ({"batch": 0}, "batch 0 below 1"),
        ({"patience": 0}, "patience 0 below 1"),
        ({"lr": 0.0}, r"lr 0.0 outside \(0, 1\]"),
        ({"lr": float("nan")}, r"lr nan outside \(0, 1\]"),
        ({"seed": -1}, r"seed -1 outside \[0, 2\^63\)"),
        ({"device": "tpu"}, "device 'tpu' unknown, known: cpu, cuda"),
        ({"validation": 1.0}, r"validation share 1.0 outside \(0, 1\)"),
        ({"limit": 0}, "limit 0 below 1"),
    ],
)
def test_options_that_are_refused(changes, message):
    with pytest.raises(BadInput, match=f"train: {message}"):
        TrainOptions(**changes)


def test_recipes():
    for network in ("mlp", "cnn"):
        for name in datasets.NAMED:
            spec, options = recipe(network, name)
            assert spec.kind == network
            assert options.epochs >= 1
    with pytest.raises(BadInput, match="network 'vgg': unknown, known: mlp, cnn"):
        recipe("vgg", "digits")
    with pytest.raises(BadInput, match="no recipe for data set 'npz:a', known: digits, mnist"):
        recipe("mlp", "npz:a")


def labelled(labels: list[int]) -> Dataset:
    x = torch.arange(len(labels), dtype=torch.float32).reshape(-1, 1, 1, 1) / len(labels)
    return Dataset("mine", "train", x, torch.tensor(labels), max(labels) + 1)


def test_the_validation_part_is_stratified_and_disjoint():
    data = labelled([0] * 40 + [1] * 60 + [2] * 4)
    train_part, validation = split(data, 0.1, seed=3)
    assert torch.bincount(validation.y).tolist() == [4, 6]
    assert torch.bincount(train_part.y).tolist() == [36, 54, 4]
    both = torch.cat([train_part.x, validation.x]).flatten().sort().values
    assert torch.equal(both, data.x.flatten())
    assert torch.equal(split(data, 0.1, seed=3)[1].x, validation.x)
    assert not torch.equal(split(data, 0.1, seed=4)[1].x, validation.x)
    with pytest.raises(DatasetError, match=r"3 samples cannot be split, validation share 0\.1"):
        split(labelled([0, 1, 2]), 0.1, seed=0)


def test_streams_do_not_meet():
    draws = [
        torch.randint(1 << 62, (1,), generator=stream(*purpose)).item()
        for purpose in [(0,), (0, 0), (0, 1), (1, 0), (0, 1, 0), (0, 1, 1), (1, 1, 0)]
    ]
    assert len(set(draws)) == len(draws)
    again = torch.randint(1 << 62, (1,), generator=stream(0, 1, 1)).item()
    assert again == draws[5]


def test_batches_cover_every_sample_once():
    data = labelled([0] * 10)
    orders = iter([torch.arange(10), torch.arange(9, -1, -1)])
    batches = Batches(data, 4, order=lambda: next(orders))
    assert len(batches) == 3
    for wanted in (range(10), range(9, -1, -1)):
        found = torch.cat([x for x, _ in batches]).flatten() * 10
        assert found.round().tolist() == list(wanted)


def test_data_that_do_not_fit():
    images = Dataset("mine", "train", torch.zeros((2, 1, 8, 8)), torch.zeros(2).long(), 10)
    check_fit(SMALL, images)
    check_fit(SMALL.model_copy(update={"input_shape": (64, 1, 1)}), images)
    spikes = replace(images, x=torch.zeros((2, 1, 8, 8, 6), dtype=torch.uint8))
    direct = SMALL.model_copy(update={"encoder": "direct"})
    check_fit(direct, spikes)
    with pytest.raises(DatasetError, match="mine: holds spikes, encoder drive takes images"):
        check_fit(SMALL, spikes)
    with pytest.raises(DatasetError, match="mine: holds images, encoder direct takes spikes"):
        check_fit(direct, images)
    with pytest.raises(DatasetError, match="mine: 5 time steps, the network has 6"):
        check_fit(direct, replace(spikes, x=spikes.x[..., :5]))
    with pytest.raises(DatasetError, match=r"shape \(1, 8, 7\) does not fit .* \(1, 8, 8\)"):
        check_fit(SMALL, replace(images, x=images.x[..., :7]))
    with pytest.raises(DatasetError, match="mine: 11 classes, the network has 10"):
        check_fit(SMALL, replace(images, classes=11))


def test_checkpoint_round_trip(tmp_path):
    epochs = tuple(Epoch(n, 0.1 / n, 0.3, n % 2, 7, 1.5) for n in (1, 2, 3))
    tensors = {"a.b": torch.rand(3), "step": torch.tensor(4.0)}
    state = State(epochs, tensors, {"a.b": torch.zeros(3)}, {"0.step": torch.tensor(1.0)})
    path = tmp_path / "last.safetensors"
    checkpoint.save(path, state, {"lr": 0.1, "network": {"hidden": [3]}})
    found = checkpoint.load(path, {"lr": 0.1, "network": {"hidden": [3]}})
    assert found.history == epochs
    assert found.best_epoch.number == 1
    for part in ("network", "best", "optimiser"):
        assert same(getattr(found, part), getattr(state, part))
    with pytest.raises(BadInput, match=r"begun with lr 0\.1, not None"):
        checkpoint.load(path, {"network": {"hidden": [3]}})
    path.write_bytes(b"")
    with pytest.raises(BadInput, match="damaged checkpoint"):
        checkpoint.load(path, {})
    save_file(tensors, path)
    with pytest.raises(BadInput, match="damaged checkpoint"):
        checkpoint.load(path, {})
