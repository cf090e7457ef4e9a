"""Every rule has a file that breaks it and a file that does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from neurorobust import netx
from neurorobust.classifier import Network
from neurorobust.models import wheel_file, write_card
from neurorobust.netx import (
    AverageLayer,
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    NetxModel,
    Neuron,
    rules,
)
from neurorobust.netx.rules import RULES, SEVERITIES
from neurorobust.records import Card, EncoderCard
from neurorobust.verify.lint import Verdict, lint, on_samples

CARD = Card(encoder=EncoderCard(kind="drive", mean=0.0, std=1.0), steps=13, readout="count")
SPIKES = Card(encoder=EncoderCard(kind="direct"), steps=12, readout="count")


def neuron(threshold: int = 80, current: int = 2048, voltage: int = 512) -> Neuron:
    return Neuron(np.array([current]), np.array([voltage]), np.array([threshold]))


def model(*changes: Any, **fields: Any) -> NetxModel:
    """A clean network: input, conv, flatten, dense; `fields` replace those of the dense layer."""
    rng = np.random.default_rng(3)
    conv = ConvLayer(
        1, (2, 4, 4), neuron(), 2 * rng.integers(-20, 20, (2, 1, 3, 3)), padding=(1, 1)
    )
    dense = DenseLayer(3, (5, 1, 1), neuron(), 2 * rng.integers(-20, 20, (5, 32)))
    dense = replace(dense, **fields)
    layers: tuple[Any, ...] = (
        InputLayer(0, (1, 4, 4), neuron(60, 4096), weight=100.0, bias=3.0),
        conv,
        FlattenLayer(2, (32, 1, 1)),
        dense,
    )
    return NetxModel((1, 4, 4), (*layers, *changes))


def spoilt(edit: Callable[[Any], object]) -> Callable[[Path], None]:
    """The clean file, changed by hand."""

    def make(path: Path) -> None:
        netx.write(model(), path)
        with h5py.File(path, "r+") as file:
            edit(file)

    return make


def put(name: str, value: Any) -> Callable[[Path], None]:
    def edit(file: Any) -> None:
        if name in file:
            del file[name]
        file[name] = value

    return spoilt(edit)


def made(build: Callable[[], NetxModel], card: Card | None = None) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        netx.write(build(), path)
        if card is not None:
            write_card(card, path.parent / "card.json")

    return make


def flat(size: int, **fields: Any) -> NetxModel:
    """Spikes into one dense layer."""
    weight = fields.pop("weight", np.tile(np.array([[20, -20]]), (3, size // 2)))
    layer = DenseLayer(0, (len(weight), 1, 1), neuron(), weight)
    return NetxModel((size, 1, 1), (replace(layer, **fields),))


def renumber(file: Any) -> None:
    file.move("layer/3", "layer/7")


def link(file: Any) -> None:
    del file["layer/3/weight"]
    file["layer/3/weight"] = h5py.SoftLink("/layer/1/weight")


def complex_weight(file: Any) -> None:
    del file["layer/3/weight"]
    file["layer/3/weight/real"] = np.ones((5, 32))


def recurrent_delay(file: Any) -> None:
    file["layer/3/type"][...] = np.array([b"dense_rec"], dtype="S10")
    file["layer/3/weight_rec"] = np.eye(5, dtype=int)
    file["layer/3/delay"] = 1


ONES = np.ones(3, dtype=np.int64)
BREAKS: dict[str, Callable[[Path], None]] = {
    rules.POINTER: lambda path: path.write_text("version https://git-lfs.example/spec/v1\n"),
    rules.DAMAGED: lambda path: path.write_bytes(b"not HDF5") and None,
    rules.HOSTILE: spoilt(link),
    rules.LAYERS: spoilt(renumber),
    rules.UNKNOWN_FIELD: put("layer/3/colour", 3),
    rules.FORMAT: put("layer/3/weight", np.full((5, 32), np.nan)),
    rules.LAYER_TYPE: put("layer/3/type", np.array([b"pool"])),
    rules.NEURON_TYPE: put("layer/3/neuron/type", np.array([b"ALIF"])),
    rules.WEIGHT_RANGE: put("layer/3/weight", np.tile([300, -2], (5, 16))),
    rules.FRACTION: put("layer/3/weight", np.tile([2.5, -2], (5, 16))),
    rules.ZEROS: put("layer/3/weight", np.zeros((5, 32))),
    rules.WEIGHTS_CHANGED: made(lambda: flat(2, weight=np.array([[-128, -128]]))),
    rules.CONV_DELAY: put("layer/1/delay", 3),
    rules.RECURRENT_DELAY: spoilt(recurrent_delay),
    rules.DELAY_CHANGED: put("layer/3/delay", 70.5),
    rules.IGNORED: put("layer/3/neuron/refDelay", 5),
    rules.BIAS_BITS: made(lambda: flat(4, bias=5000 * ONES)),
    rules.BIAS_WRAPS: made(lambda: flat(4, bias=40000 * ONES)),
    rules.THRESHOLD_BITS: made(lambda: flat(4, neuron=neuron(1 << 17))),
    rules.STORAGE: put("layer/3/neuron/vThMant", 80.0),
    rules.RANGE: put("layer/3/neuron/iDecay", 5000),
    rules.GRADED: put("layer/3/neuron/gradedSpike", True),
    rules.WEIGHT_EXPONENT: put("layer/3/neuron/weight_exp", 2),
    rules.THRESHOLD_ZERO: made(lambda: flat(4, neuron=neuron(0))),
    rules.COMPLEX: spoilt(complex_weight),
    rules.SHAPES: put("layer/3/weight", np.tile([20, -20], (5, 8))),
    rules.LAVA_LOADS: made(lambda: model(AverageLayer(4, (5, 1, 1)))),
    rules.ACCUMULATES: made(lambda: model(neuron=None)),
    rules.WRAPS: made(lambda: flat(1200, weight=np.tile([[250, -250]], (3, 600)))),
    rules.NEVER_SPIKES: made(lambda: flat(4, neuron=neuron(9000))),
    rules.BIAS_SPIKES: made(lambda: flat(4, bias=100 * ONES)),
    rules.INPUT_EARLY: made(model),
    rules.DELAYS_OUTLIVE: made(lambda: flat(4, delay=np.ones((3, 4), dtype=np.int64))),
    rules.BIAS_EARLY: made(lambda: model(bias=np.arange(5))),
    rules.INTERVAL: made(model, CARD.model_copy(update={"steps": 16})),
    rules.CARD_MISSING: made(model),
    rules.CARD_MISFIT: made(lambda: model(neuron=None), CARD),
    rules.DRIVE_RANGE: made(
        lambda: replace(
            model(), layers=(replace(model().layers[0], weight=5000.0), *model().layers[1:])
        ),
        CARD,
    ),
    rules.CUDA_TRAINED: made(model, CARD.model_copy(update={"training": {"device": "cuda:0"}})),
    rules.CORES: made(lambda: flat(1000, weight=np.tile([[20, -20]], (5400, 500)))),
    rules.LAYER_SIZE: made(lambda: flat(16_002, weight=np.tile([[20, -20]], (3, 8001)))),
}
PASSES: dict[str, Callable[[Path], None]] = {
    rules.INPUT_EARLY: made(lambda: flat(4)),
    rules.CARD_MISSING: made(model, CARD),
}
ON_DATA = {rules.SILENT_LAYER, rules.DEAD_NEURONS, rules.ALWAYS_ON, rules.NEAR_WRAP}


def codes(verdict: Verdict) -> set[str]:
    return {found.code for found in verdict.findings}


@pytest.mark.parametrize("code", sorted(BREAKS))
def test_a_file_that_breaks_the_rule_and_one_that_does_not(code: str, tmp_path: Path) -> None:
    bad, good = tmp_path / "bad" / "model.net", tmp_path / "good" / "model.net"
    for path in (bad, good):
        path.parent.mkdir()
    BREAKS[code](bad)
    PASSES.get(code, made(model, CARD))(good)
    verdict, _ = lint(str(bad))
    assert code in codes(verdict), [vars(found) for found in verdict.findings]
    assert verdict.runs is (RULES[code].severity != "error")
    for found in verdict.findings:
        assert found.message
        assert "\n" not in found.message
        assert str(bad) not in found.place
    clean, _ = lint(str(good))
    assert code not in codes(clean)
    assert clean.runs


def test_every_rule_is_shown() -> None:
    assert set(BREAKS) | ON_DATA == set(RULES)
    assert not set(BREAKS) & ON_DATA
    assert {rule.severity for rule in RULES.values()} == set(SEVERITIES)
    assert len({rule.name for rule in RULES.values()}) == len(RULES)


def test_all_layers_of_a_refused_file_are_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "model.net"

    def edit(file: Any) -> None:
        file["layer/1/neuron/iDecay"][...] = 5000
        file["layer/3/weight"][0, 0] = 300
        file["layer/3/neuron/refDelay"][...] = 4

    spoilt(edit)(path)
    verdict, _ = lint(str(path))
    assert [(found.code, found.place) for found in verdict.findings] == [
        (rules.WEIGHT_RANGE, "layer 3 (dense)"),
        (rules.RANGE, "layer 1 (conv)"),
    ]


# --- on sample data


def activity(made_of: NetxModel, x: torch.Tensor) -> dict[str, str]:
    verdict = Verdict(Path("x.net"), made_of, (), None)
    found = on_samples(verdict, Network("", made_of, SPIKES).encoder, x)
    assert found.samples == len(x)
    return {one.code: one.message for one in found.findings}


def test_activity_is_told_from_silence() -> None:
    weight = np.array([[120, 120], [-2, 2], [120, -2]])
    busy = flat(2, weight=weight, neuron=neuron(20, 4096, 4096))
    x = torch.ones(70, 2, 1, 1, 12, dtype=torch.uint8)
    assert activity(busy, x) == {
        rules.DEAD_NEURONS: "1 of 3 neurons",
        rules.ALWAYS_ON: "2 of 3 neurons",
    }
    assert activity(busy, 0 * x) == {rules.SILENT_LAYER: "0 of 3 neurons spiked"}
    x[69, 0] = 0  # one sample in which the third neuron is silent
    assert activity(busy, x)[rules.ALWAYS_ON] == "1 of 3 neurons"


def test_a_current_that_wraps_is_seen() -> None:
    wide = flat(600, weight=np.full((3, 600), 250), neuron=neuron(80, 0, 4096))
    x = torch.ones(1, 600, 1, 1, 12, dtype=torch.uint8)
    found = activity(wide, x)[rules.NEAR_WRAP]
    assert "of the limit, and jumped by more than it" in found
    assert rules.NEAR_WRAP not in activity(wide, 0 * x)


# --- the networks of the lava-dl wheel


@pytest.mark.lava
@pytest.mark.parametrize(
    ("file", "runs", "wanted"),
    [
        ("mnist.net", True, {rules.ACCUMULATES, rules.INPUT_EARLY}),
        ("tiny.net", True, {rules.BIAS_SPIKES, rules.BIAS_EARLY}),
        ("gts/pilotnet_lif/network.net", True, {rules.BIAS_EARLY}),
        ("gts/ntidigits/ntidigits.net", True, {rules.DELAYS_OUTLIVE, rules.LAVA_LOADS}),
        ("gts/pilotnet_sdnn/network.net", False, {rules.NEURON_TYPE}),
        ("gts/pilotnet_sdnn/square_network.net", False, {rules.NEURON_TYPE}),
    ],
)
def test_published_networks(file: str, runs: bool, wanted: set[str]) -> None:
    path = wheel_file(file)
    if path is None:
        pytest.skip(f"needs the lava-dl wheel, which holds {file}")
    verdict, _ = lint(str(path))
    assert verdict.runs is runs
    assert wanted <= codes(verdict)
    if runs:
        assert verdict.fit is not None
        assert verdict.fit.fits  # all of them ran on boards
    else:
        assert all(found.code == rules.NEURON_TYPE for found in verdict.findings)
        assert "'SDNN'" in verdict.findings[0].message
