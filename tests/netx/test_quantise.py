from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neurorobust.assess.precision import sweep
from neurorobust.backends.engine import EngineBackend
from neurorobust.classifier import Network
from neurorobust.datasets.base import Dataset
from neurorobust.errors import BadInput, ModelFileError, OutputError
from neurorobust.evaluation import Request
from neurorobust.models import resolve
from neurorobust.netx import DenseLayer, InputLayer, NetxModel, Neuron, RecurrentLayer, write
from neurorobust.netx.compare import difference
from neurorobust.netx.quantise import Precision, quantise
from neurorobust.records import Card, EncoderCard


def neuron(current: int = 1000, voltage: int = 333, threshold: int = 90) -> Neuron:
    return Neuron(np.array([current]), np.array([voltage]), np.array([threshold]))


def model(seed: int = 0, **changes: Any) -> NetxModel:
    rng = np.random.default_rng(seed)
    first = DenseLayer(1, (20, 1, 1), neuron(), 2 * rng.integers(-60, 60, (20, 12)),
                       bias=rng.integers(-20, 20, 20))  # fmt: skip
    second = RecurrentLayer(
        2, (4, 1, 1), neuron(), 2 * rng.integers(-30, 30, (4, 20)), 2 * rng.integers(-9, 9, (4, 4))
    )
    own = InputLayer(0, (12, 1, 1), neuron(4096, 100, 40), 60.0, 4.0)
    return NetxModel((12, 1, 1), (own, replace(first, **changes), second))


def test_eight_even_bits_and_twelve_are_the_network_itself() -> None:
    for scale in ("search", "fixed"):
        assert difference(quantise(model(), Precision(scale=scale)), model()) is None


@given(
    st.integers(1, 8), st.integers(1, 12), st.sampled_from(["search", "fixed"]), st.integers(0, 99)
)
def test_so_many_levels_are_left_and_the_file_can_be_written(
    bits: int, decay_bits: int, scale: str, seed: int
) -> None:
    try:
        coarse = quantise(model(seed), Precision(bits, decay_bits, scale=scale))
    except ModelFileError as error:
        said = str(error)
        assert_names_the_layer(said)
        return
    for before, layer in zip(model(seed).layers, coarse.layers, strict=True):
        decays = (layer.neuron.current_decay, layer.neuron.voltage_decay)
        assert all(int(value[0]) % (1 << (12 - decay_bits)) == 0 for value in decays)
        if isinstance(layer, InputLayer):
            continue
        codes = layer.weight / (1 << (9 - bits))
        assert (codes == np.rint(codes)).all()
        assert -(1 << (bits - 1)) <= codes.min()
        assert codes.max() <= (1 << (bits - 1)) - 1
        assert layer.weight.shape == before.weight.shape


def assert_names_the_layer(said: str) -> None:
    assert said.startswith("layer ")
    assert "all weights round to 0 at" in said


def test_a_searched_scale_keeps_the_function_better_than_struck_off_bits() -> None:
    """Weights of at most 30 leave little of a fixed grid of 32."""
    rng = np.random.default_rng(1)
    small = model(weight=2 * rng.integers(-15, 15, (20, 12)))
    with pytest.raises(ModelFileError, match=r"layer . .*: all weights round to 0 at 2 bits"):
        quantise(small, Precision(2, scale="fixed"))
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(40, 12, 1, 1, 16, generator=generator) < 0.4).to(torch.uint8)
    wanted = EngineBackend(small).run(x, record=[1]).layers[1].spikes

    def differing(precision: Precision) -> float:
        spikes = EngineBackend(quantise(small, precision)).run(x, record=[1]).layers[1].spikes
        return float((spikes != wanted).float().mean())

    assert wanted.any()
    errors = [differing(Precision(bits)) for bits in (8, 6, 4, 3)]
    assert errors[0] == 0
    assert errors[1] < errors[3]
    assert errors[2] < differing(Precision(4, scale="fixed"))


def test_thresholds_and_biases_follow_the_scale() -> None:
    coarse = quantise(model(), Precision(4))
    before, after = model().layers[1], coarse.layers[1]
    stretch = after.neuron.threshold[0] / before.neuron.threshold[0]
    assert stretch > 1  # weights reach 118 of 254: there is room
    assert np.abs(after.bias - before.bias * stretch).max() <= 0.5 + 20 * 0.5 / 90
    assert np.abs(after.weight - before.weight * stretch).max() <= 32 * stretch
    scaled = quantise(model(), Precision(threshold_scale=1.5))
    assert scaled.layers[1].neuron.threshold.tolist() == [135]
    assert np.array_equal(scaled.layers[1].weight, before.weight)


def test_what_outgrows_the_chip_is_refused_or_avoided() -> None:
    high = model(neuron=neuron(threshold=100_000), weight=np.tile([20, -20], (20, 6)))
    assert quantise(high, Precision(5)).layers[1].neuron.threshold[0] <= 131071
    with pytest.raises(ModelFileError, match=r"layer 1 \(dense\): vThMant 200000 at this scale"):
        quantise(high, Precision(threshold_scale=2.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), r"weight bits 0: outside \[1, 8\]"),
        ((9,), r"weight bits 9: outside \[1, 8\]"),
        ((8, 13), r"decay bits 13: outside \[1, 12\]"),
        ((8, 12, 0.0), "threshold scale 0.0: not above 0"),
        ((8, 12, 1.0, "best"), "scale 'best': unknown, known: search, fixed"),
    ],
)
def test_no_such_precision(arguments: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Precision(*arguments)


# --- the sweep


def asked(tmp_path: Path, count: int = 70) -> tuple[Network, Dataset]:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(count, 1, 3, 4, generator=generator)
    card = Card(encoder=EncoderCard(kind="drive", mean=0.0, std=1.0), steps=10, readout="count")
    written = write(model(), tmp_path / "model.net")
    labels = torch.randint(0, 4, (count,), generator=generator)
    return Network("toy", written, card), Dataset("toy", "test", x, labels, 4)


def test_a_sweep_measures_every_precision(tmp_path: Path) -> None:
    network, data = asked(tmp_path)
    request = Request(attacks=("random",), budgets={"eps": ("0.1",)})
    out = tmp_path / "family"
    precisions = [Precision(8), Precision(4), Precision(1, scale="fixed")]
    rows = sweep(network, data, precisions, request, out)
    same, coarse, gone = rows
    assert (same.label_changes, [layer.differing for layer in same.layers]) == (0, [0, 0, 0])
    assert coarse.layers[1].differing > 0
    assert coarse.label_changes is not None
    assert [layer.number for layer in coarse.layers] == [0, 1, 2]
    assert "all weights round to 0" in gone.refused
    assert not (out / "w1-fixed").exists()
    for row in (same, coarse):
        made = resolve(row.path)  # with its card beside it
        assert made.model.sha256 == row.sha256
        assert row.clean is not None
        assert row.robust is not None
        assert row.robust["eps"]["0.1"].total == row.clean.total == 70
        assert (out / row.precision.name / "record" / "record.json").is_file()
    again = sweep(network, data, precisions, request, out, resume=True)
    assert again == rows
    with pytest.raises(OutputError, match=r"w8/model.net: exists already; --resume or --over"):
        sweep(network, data, precisions, request, out)
    (tmp_path / "other/w8").mkdir(parents=True)
    (tmp_path / "other/w8/card.json").write_text("mine")
    with pytest.raises(OutputError, match=r"w8/card.json: exists already"):
        sweep(network, data, precisions, request, tmp_path / "other")
    assert [path.name for path in (tmp_path / "other/w8").iterdir()] == ["card.json"]
    with pytest.raises(BadInput, match="precision w4: given twice"):
        sweep(network, data, [Precision(4), Precision(4)], request, out)
