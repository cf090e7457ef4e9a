"""The networks in netx_models/: small, true to their cards, the same integers everywhere."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from neurorobust import datasets, models
from neurorobust.backends import registry
from neurorobust.backends.parity import VARIABLES, parity
from neurorobust.budgets import ImageBudget
from neurorobust.classifier import Network
from neurorobust.errors import UnavailableError
from neurorobust.models import shipped_folder
from neurorobust.records import rate
from neurorobust.support import files
from neurorobust.types import Inputs

NAMES = ("digits-mlp", "mnist-cnn", "fashion-cnn", "nmnist-cnn", "nmnist-delayed")
PREFIXES = ("", "adversarial/")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=NAMES)
def network(request: pytest.FixtureRequest) -> Network:
    return models.resolve(request.param)


@cache
def golden(name: str) -> dict[str, np.ndarray[Any, Any]]:
    return files.read_npz(shipped_folder() / name / "golden.npz")


@cache
def reproduce() -> ModuleType:
    """`netx_models/reproduce.py`, a script, as a module."""
    path = ROOT / "netx_models" / "reproduce.py"
    spec = importlib.util.spec_from_file_location("netx_models_reproduce", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def inputs_of(name: str, prefix: str = "") -> Inputs:
    arrays = golden(name)
    if f"{prefix}drive" in arrays:
        drive = torch.from_numpy(arrays[f"{prefix}drive"])
        return Inputs.drive(drive, int(arrays[f"{prefix}steps"]))
    return Inputs.of(torch.from_numpy(arrays[f"{prefix}input"]))


def test_they_are_the_ones_that_can_be_made_again() -> None:
    folders = sorted(path.parent.name for path in shipped_folder().glob("*/model.net"))
    assert folders == sorted(NAMES) == sorted(reproduce().RECIPES)


def test_they_are_small() -> None:
    sizes = [path.stat().st_size for name in NAMES for path in (shipped_folder() / name).iterdir()]
    assert len(sizes) == 4 * len(NAMES)  # model.net, card.json, golden.npz, README.md
    assert 0 < sum(sizes) <= 6 << 20


def test_the_card_is_whole(network: Network) -> None:
    card, (spec, options) = network.card, reproduce().RECIPES[network.name].settings()
    assert card.sha256 == network.model.sha256
    assert (card.name, card.steps, card.encoder.kind) == (network.name, spec.steps, spec.encoder)
    assert card.training["seed"] == options.seed
    assert card.training["split"] == "train"
    assert f"reproduce.py {network.name}" in card.training["command"]
    for kind in ("float", "deployed"):
        stated = card.accuracy[kind]
        assert stated == rate(stated["correct"], stated["total"]).model_dump(mode="json")
        assert f"{stated['total']} samples" in card.accuracy["split"]
        assert stated["correct"] > 0.8 * stated["total"]
    validation = card.training["validation"]
    assert validation["correct"] > 0.8 * validation["total"]


@pytest.mark.parametrize("backend", ["engine", "reference"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_golden_answers(network: Network, backend: str, prefix: str) -> None:
    arrays, numbers = golden(network.name), [layer.number for layer in network.model.spiking_layers]
    with registry.open_backend(backend, network.model) as target:
        run = target.run(inputs_of(network.name, prefix), record=numbers)
    assert arrays[f"{prefix}spikes"].sum() > 0
    assert np.array_equal(run.spikes.numpy(), arrays[f"{prefix}spikes"])
    assert np.array_equal(run.membrane.numpy(), arrays[f"{prefix}membrane"])
    for number in numbers:
        assert arrays[f"{prefix}layer{number}/spikes"].any(), f"layer {number} is silent"
        for variable in VARIABLES:
            found = getattr(run.layers[number], variable).numpy()
            assert np.array_equal(found, arrays[f"{prefix}layer{number}/{variable}"])


def test_attacked_goldens_stay_in_their_budget_and_fool_the_network(network: Network) -> None:
    budget = reproduce().RECIPES[network.name].budget
    clean, attacked = inputs_of(network.name), inputs_of(network.name, "adversarial/")
    if isinstance(budget, ImageBudget):
        assert clean.driven
        assert attacked.driven
        layer = network.model.input_layer
        assert layer is not None
        reach = layer.weight * budget.epsilon / network.card.encoder.std
        moved = (clean.values - attacked.values).abs()
        assert 0 < int(moved.max()) <= reach + 1  # both are rounded
    else:
        assert not clean.driven
        assert not attacked.driven
        flips = (clean.values != attacked.values).flatten(1).sum(1)
        assert 0 < int(flips.max()) <= budget.flips
    labels, read = golden(network.name)["label"], network.readout
    with registry.open_backend("engine", network.model) as target:
        right = [
            int((read.labels(target.run(x)).numpy() == labels).sum()) for x in (clean, attacked)
        ]
    assert right[0] >= 0.8 * len(labels)
    assert right[1] < right[0]


@pytest.mark.lava
@pytest.mark.filterwarnings("ignore")  # lava-dl's
def test_slayer_reference_engine_and_lava_agree_in_every_layer(network: Network) -> None:
    pytest.importorskip("lava")
    from neurorobust.backends.slayer.backend import SlayerBackend

    slayer = SlayerBackend(twin(network))
    for ours, theirs in zip(slayer.model.layers, network.model.layers, strict=True):
        assert type(ours) is type(theirs)
        if hasattr(ours, "weight"):
            assert np.array_equal(ours.weight, theirs.weight)
    few = inputs_of(network.name)[:2]
    for name in ("reference", "engine", "lava"):
        with registry.open_backend(name, network.model) as other:
            result = parity(slayer, other, few, variables=VARIABLES)
        assert result.identical, result.first_difference
        assert result.layers == tuple(layer.number for layer in network.model.spiking_layers)


def twin(network: Network) -> Any:
    """The SLAYER network whose weights are the file's integers over 64: training's own blocks."""
    from neurorobust.networks import build

    spec, _ = reproduce().RECIPES[network.name].settings()
    slayer = build(spec)
    for layer in network.model.spiking_layers:
        block: Any = slayer.blocks[layer.number]
        if layer.kind == "input":
            continue
        synapses = {"weight": getattr(block, "synapse", None) or block.input_synapse}
        if hasattr(block, "recurrent_synapse"):
            synapses["weight_rec"] = block.recurrent_synapse
        for name, synapse in synapses.items():
            integers = torch.from_numpy(np.asarray(getattr(layer, name))).float()
            synapse.weight.data = (integers / 64).reshape(synapse.weight.shape)
        if block.delay is not None:
            block.delay.delay.data = torch.from_numpy(layer.delay[:, 0]).float()
    return slayer


def test_accuracy_on_the_real_test_set_is_the_cards(network: Network) -> None:
    folder = os.environ.get("NEUROROBUST_DATA")
    if folder is None and network.card.dataset != "digits":
        pytest.skip("needs data sets: set NEUROROBUST_DATA to their folder")
    data_dir = None if folder is None else Path(folder)
    try:
        data = datasets.load(str(network.card.dataset), "test", data_dir, steps=network.card.steps)
    except UnavailableError as error:  # torchvision does not fit every torch
        pytest.skip(str(error))
    correct = 0
    with registry.open_backend("engine", network.model) as engine:
        deployed = network.classifier(engine)
        for start in range(0, len(data), 500):
            x, labels = data.batch(start, start + 500)
            correct += int((deployed.predict(x) == labels).sum())
    stated = network.card.accuracy["deployed"]
    assert (correct, len(data)) == (stated["correct"], stated["total"])


@pytest.mark.slow
@pytest.mark.lava
@pytest.mark.filterwarnings("ignore")  # Lightning's and lava-dl's
def test_one_command_makes_a_network_again(tmp_path: Path) -> None:
    pytest.importorskip("lava")
    command = [sys.executable, str(ROOT / "netx_models" / "reproduce.py"), "digits-mlp"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [*command, "--out", str(tmp_path / "made")],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env=environment,
    )
    assert result.returncode == 0, result.stderr
    made, shipped = models.resolve(str(tmp_path / "made")), models.resolve("digits-mlp")
    assert made.card.sha256 == made.model.sha256
    assert made.card.training["command"] == shipped.card.training["command"]
    arrays, wanted = files.read_npz(tmp_path / "made" / "golden.npz"), golden("digits-mlp")
    assert {key: value.shape for key, value in arrays.items()} == {
        key: value.shape for key, value in wanted.items()
    }
    for kind in ("float", "deployed"):  # another CPU may give another, equally good network
        low, _ = shipped.card.accuracy[kind]["interval"]
        found = made.card.accuracy[kind]
        assert found["total"] == shipped.card.accuracy[kind]["total"]
        assert found["correct"] >= low * found["total"]
