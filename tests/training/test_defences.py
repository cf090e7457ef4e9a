"""A defence trains a batch; `none` trains as a plain loop does."""

from __future__ import annotations

import importlib.util
import json
import math
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from typer.testing import CliRunner

from neurorobust import datasets
from neurorobust.cli import app
from neurorobust.errors import BadInput
from neurorobust.networks import NetworkSpec, build
from neurorobust.training import TrainOptions, load_run, train
from neurorobust.training.data import ORDER, TRAIN_DRAWS, encoder_of, split, stream
from neurorobust.training.defences import DEFENCES, Defence, find_defence, settings

SPEC = NetworkSpec(kind="mlp", input_shape=(1, 8, 8), classes=10, steps=4, hidden=(8,))
QUICK = TrainOptions(epochs=2, batch=32, limit=100)

needs_lava = pytest.mark.skipif(
    importlib.util.find_spec("lava") is None, reason="lava-dl is not installed"
)


@dataclass(frozen=True)
class Scaled(Defence):
    """The cross-entropy of counts times a number that is learnt; uses every hook."""

    start: float = 2.0
    name = "scaled"

    def parameters(self, network: Any) -> dict[str, nn.Parameter]:
        return {"scale": nn.Parameter(torch.tensor(self.start) + 0.1 * torch.rand(()))}

    def loss(self, learner: Any, batch: Any, generator: torch.Generator) -> torch.Tensor:
        x, labels = batch
        counts = learner.counts(x, generator) * learner.own["scale"]
        return nn.functional.cross_entropy(counts, labels)

    def after_step(self, learner: Any) -> None:
        with torch.no_grad():
            learner.own["scale"].clamp_(max=self.start)

    def train_batch(
        self, learner: Any, optimiser: Any, batch: Any, generator: torch.Generator
    ) -> torch.Tensor:
        super().train_batch(learner, optimiser, batch, generator)
        return super().train_batch(learner, optimiser, batch, generator)


@pytest.fixture
def _scaled() -> Iterator[None]:
    DEFENCES["scaled"] = Scaled()
    yield
    del DEFENCES["scaled"]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "weights.safetensors")


def plain(spec: NetworkSpec, options: TrainOptions) -> dict[str, torch.Tensor]:
    """One epoch of Adam on the cross-entropy, with nothing of the seam in it."""
    part, _ = split(datasets.load("digits", "train", limit=options.limit), 0.1, options.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = build(spec)
    adam, encoder = torch.optim.Adam(network.parameters(), options.lr), encoder_of(spec)
    order = torch.randperm(len(part), generator=stream(options.seed, ORDER, 0))
    for number in range(math.ceil(len(part) / options.batch)):
        rows = order[number * options.batch : (number + 1) * options.batch]
        x = part.x[rows].float() / (1 if part.x.is_floating_point() else 255)
        inputs = encoder.forward(x, stream(options.seed, TRAIN_DRAWS, 0, number))
        loss = nn.functional.cross_entropy(network(inputs).sum(-1), part.y[rows])
        adam.zero_grad()
        loss.backward()
        adam.step()
    return dict(network.state_dict())


@needs_lava
@pytest.mark.lava
@pytest.mark.parametrize("encoder", ["drive", "poisson"])
def test_none_ends_in_the_weights_of_a_plain_loop(tmp_path: Path, encoder: str) -> None:
    spec, options = SPEC.model_copy(update={"encoder": encoder}), replace(QUICK, epochs=1)
    run = train(spec, "digits", tmp_path / "run", options)
    wanted = plain(spec, options)
    found = weights(run)
    assert found.keys() == wanted.keys()
    for name, tensor in found.items():
        assert torch.equal(tensor, wanted[name]), name


@needs_lava
@pytest.mark.lava
@pytest.mark.usefixtures("_scaled")
def test_an_interrupted_run_of_a_defence_with_parameters_ends_as_an_uninterrupted_one(
    tmp_path: Path,
) -> None:
    options = replace(QUICK, defence="scaled", epochs=3)
    whole = train(SPEC, "digits", tmp_path / "whole", options)

    def stop(done: int, total: int, what: str) -> None:
        if done == 5:  # in the second epoch, of three batches each
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(SPEC, "digits", tmp_path / "again", options, progress=stop)
    kept = load_file(tmp_path / "again" / "last.safetensors")
    assert 1.5 < kept["own/scale"] <= 2.0
    train(SPEC, "digits", tmp_path / "again", options, resume=True)
    first, second = weights(whole), weights(tmp_path / "again")
    assert all(torch.equal(first[name], second[name]) for name in first)
    _, card, report = load_run(whole)
    assert card.training["defence"] == "scaled"
    assert report["settings"]["defence"] == {"name": "scaled", "start": 2.0}
    assert not any("scale" in name for name in first)  # nothing of it is deployed
    plain_run = train(SPEC, "digits", tmp_path / "none", replace(options, defence="none"))
    assert not all(torch.equal(first[name], tensor) for name, tensor in weights(plain_run).items())


@needs_lava
@pytest.mark.lava
@pytest.mark.usefixtures("_scaled")
def test_a_run_is_not_resumed_with_another_defence(tmp_path: Path) -> None:
    train(SPEC, "digits", tmp_path / "run", replace(QUICK, epochs=1))
    options = replace(QUICK, epochs=1, defence="scaled")
    with pytest.raises(BadInput, match=r"begun with defence \{'name': 'none'\}, not "):
        train(SPEC, "digits", tmp_path / "run", options, resume=True)


def test_an_unknown_defence_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadInput, match="defence 'magic': unknown, known: none"):
        TrainOptions(defence="magic")


def test_each_defence_stands_under_its_own_name() -> None:
    assert next(iter(DEFENCES)) == TrainOptions().defence == "none"
    for name, defence in DEFENCES.items():
        assert defence.name == name
        assert settings(defence)["name"] == name


def test_a_defence_of_somebodys_own_module_is_found_by_module_and_factory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_defence.py").write_text(
        "from neurorobust.training.defences.none import NoDefence\n\n\n"
        "class Mine(NoDefence):\n    name = 'mine'\n\n\n"
        "def nothing():\n    return None\n"
    )
    monkeypatch.chdir(tmp_path)
    assert find_defence("own_defence:Mine").name == "mine"
    assert DEFENCES.pop("mine").name == "mine"
    with pytest.raises(
        BadInput, match=r"the factory returned NoneType, need neurorobust\.training"
    ):
        find_defence("own_defence:nothing")


@needs_lava
@pytest.mark.lava
@pytest.mark.parametrize("name", ["none", "magic"])
def test_the_command_line_takes_a_defence(tmp_path: Path, name: str) -> None:
    out = tmp_path / "run"
    asked = ["train", "--out", str(out), "--epochs", "1", "--limit", "60", "--steps", "4"]
    done = CliRunner().invoke(app, [*asked, "--defence", name])
    if name == "magic":
        assert done.exit_code == 2
        assert "defence 'magic': unknown, known: none" in done.output
        assert not out.exists()
    else:
        assert done.exit_code == 0, done.output
        card = json.loads((out / "card.json").read_text())
        assert card["training"]["defence"] == "none"


def test_a_defence_whose_settings_cannot_be_kept_is_refused(tmp_path, monkeypatch):
    (tmp_path / "plain_defence.py").write_text(
        "from neurorobust.training.defences import Defence\n\n\n"
        "class Plain(Defence):\n    name = 'plain-one'\n\n"
        "    def loss(self, learner, batch, generator):\n        return learner\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="Plain is no frozen dataclass"):
        find_defence("plain_defence:Plain")
    DEFENCES.pop("plain-one")
