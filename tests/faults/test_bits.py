"""Weight bits: what a flip is, the search finds what is planted, the file stays legal."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurorobust import netx
from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.engine.sensitivity import weight_gradients
from neurorobust.backends.engine.trainable import TrainableEngine
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.classifier import Classifier
from neurorobust.encoders import DirectEncoder
from neurorobust.errors import BadInput
from neurorobust.faults.bits import Samples, Search, random_flips
from neurorobust.faults.curve import curve
from neurorobust.faults.memory import Flip, Matrix, Memory, flipped
from neurorobust.netx.model import DenseLayer, InputLayer, NetxModel, Neuron, RecurrentLayer
from neurorobust.readouts import Readout
from neurorobust.surrogates import DEFAULT
from neurorobust.types import Inputs


def cell(threshold: int = 60) -> Neuron:
    return Neuron(np.array(1024), np.array(256), np.array(threshold))


@settings(max_examples=200, deadline=None)
@given(weight=st.integers(-128, 127).map(lambda code: 2 * code), bit=st.integers(0, 7))
def test_an_even_weight_is_eight_bits_of_twos_complement(weight, bit):
    matrix = Matrix.of(np.array([weight, 2]))
    after = weight + int(matrix.changes(0)[bit])
    code = np.uint8(np.int8(weight // 2).view(np.uint8) ^ np.uint8(1 << bit))
    assert after == 2 * int(code.view(np.int8))
    assert matrix.allowed(0).all()


@settings(max_examples=200, deadline=None)
@given(weight=st.integers(-256, 254), bit=st.integers(0, 8))
def test_an_odd_matrix_has_nine(weight, bit):
    matrix = Matrix.of(np.array([weight, 1]))
    assert (matrix.unit, matrix.bits) == (1, 9)
    after = weight + int(matrix.changes(0)[bit])
    assert after == ((((weight & 511) ^ (1 << bit)) + 256) & 511) - 256
    assert bool(matrix.allowed(0)[bit]) == (after <= 254)


def test_beside_255_nothing_becomes_negative():
    allowed = Matrix.of(np.array([255, 4])).allowed()
    assert not allowed[:, 8].any()
    assert allowed[:, :8].all()


def test_the_last_weight_is_not_cleared():
    allowed = Matrix.of(np.array([0, 4])).allowed()
    assert allowed[1].tolist() == [True, False] + [True] * 6  # 4 = 2 * 0b10
    assert allowed[0].all()


def network(weight) -> NetxModel:
    layers = (InputLayer(0, (3, 1, 1), None), DenseLayer(1, (2, 1, 1), cell(), np.array(weight)))
    return NetxModel((3, 1, 1), layers)


def test_flipping_twice_is_nothing_and_the_model_stays():
    model = network([[20, -6, 4], [2, 0, -256]])
    before = model.layers[1].weight.copy()
    memory = Memory(model)
    assert len(memory) == 6 * 8
    memory.flip(Flip(1, "weight", 5, 7))
    assert memory.model().layers[1].weight.tolist() == [[20, -6, 4], [2, 0, 0]]
    memory.flip(Flip(1, "weight", 5, 7))
    assert np.array_equal(memory.model().layers[1].weight, before)
    assert np.array_equal(model.layers[1].weight, before)


@pytest.mark.parametrize(
    ("flip", "words"),
    [
        (Flip(7, "weight", 0, 0), "layer 7 has no weight"),
        (Flip(1, "weight_rec", 0, 0), "layer 1 has no weight_rec"),
        (Flip(1, "weight", 6, 0), "6 weights of 8 bits, no weight 6, bit 0"),
        (Flip(1, "weight", 0, 8), "no weight 0, bit 8"),
    ],
)
def test_bits_that_do_not_exist_are_refused(flip, words):
    with pytest.raises(BadInput, match=words):
        flipped(network([[20, -6, 4], [2, 0, -256]]), [flip])


def test_what_cannot_be_held_is_refused():
    with pytest.raises(BadInput, match="NetX cannot hold 255 as weight 0"):
        flipped(network([[254, -7, 4], [2, 0, 0]]), [Flip(1, "weight", 0, 0)])
    with pytest.raises(BadInput, match="no layer with weights"):
        Memory(NetxModel((1, 1, 1), (InputLayer(0, (1, 1, 1), cell()),)))


def random_network(seed: int = 0, odd: int = 0) -> NetxModel:
    """6-8-5-3, the middle one recurrent."""
    rng = np.random.default_rng(seed)

    def weight(*shape: int):
        return 2 * rng.integers(-40, 50, shape) + odd

    layers = (
        InputLayer(0, (6, 1, 1), None),
        DenseLayer(1, (8, 1, 1), cell(), weight(8, 6)),
        RecurrentLayer(2, (5, 1, 1), cell(), weight(5, 8), weight(5, 5)),
        DenseLayer(3, (3, 1, 1), cell(), weight(3, 5)),
    )
    return NetxModel((6, 1, 1), layers)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), odd=st.integers(0, 1))
def test_random_flips_leave_a_legal_network(tmp_path_factory, seed, odd):
    model = random_network(odd=odd)
    flips = random_flips(model, 40, np.random.default_rng(seed))
    assert len(set(flips)) == 40
    changed = flipped(model, flips)
    path = tmp_path_factory.mktemp("net") / "a.net"
    netx.write(changed, path)
    again = netx.read(path)
    for mine, theirs in zip(again.layers, changed.layers, strict=True):
        if hasattr(theirs, "weight") and not isinstance(theirs, InputLayer):
            assert np.array_equal(mine.weight, theirs.weight)
    assert random_flips(model, 10, np.random.default_rng(seed)) == flips[:10]


def test_there_are_only_so_many_bits():
    model = network([[20, -6, 4], [2, 8, -256]])
    assert len(random_flips(model, 1000, np.random.default_rng(0))) <= 48
    assert random_flips(model, 0, np.random.default_rng(0)) == ()


@pytest.mark.parametrize("odd", [0, 1])
def test_weight_gradients_are_those_of_training(odd):
    model = random_network(odd=odd)
    drawn = np.random.default_rng(1).random((4, 6, 1, 1, 10)) < 0.5
    spikes = torch.from_numpy(drawn.astype(np.uint8))

    def loss(run):
        return (run.spikes * torch.linspace(-1, 1, 10)).sum()

    found = weight_gradients(EngineBackend(model), Inputs.of(spikes), DEFAULT, loss)
    assert set(found) == {(1, "weight"), (2, "weight"), (2, "weight_rec"), (3, "weight")}
    assert all(np.any(gradient != 0) for gradient in found.values())
    if odd:
        return  # the trainable engine rounds odd weights
    engine = TrainableEngine(model)
    loss(engine(spikes)).backward()
    for (layer, name), gradient in found.items():
        group = engine.weights if name == "weight" else engine.feedback
        assert np.array_equal(gradient, group[str(layer)].grad.numpy())


def planted() -> Classifier:
    """Class 1 hangs on one weight; class 0 is silenced by the largest there is, and wins ties."""
    weight = np.full((2, 32), 2)
    weight[0, 1], weight[1, 1] = -256, 100
    layers = (DenseLayer(0, (2, 1, 1), cell(), weight),)
    model = NetxModel((32, 1, 1), layers)
    return Classifier(DirectEncoder((32, 1, 1)), EngineBackend(model), Readout("count", 1.0))


def test_the_one_decisive_bit_is_found():
    """Of 512 bits one makes the answer wrong: the sign of class 1's weight."""
    classifier = planted()
    x = torch.zeros((8, 32, 1, 1, 10), dtype=torch.uint8)
    x[:, 1] = 1
    labels = torch.ones(8, dtype=torch.int64)
    samples = Samples.of(classifier, x, labels, torch.Generator().manual_seed(0))
    flips = Search()(classifier, samples, 3)
    assert flips[0] == Flip(0, "weight", 33, 7)
    right = [
        int((samples.predicted(classifier, flipped(classifier.backend.model, [flip])) == 1).sum())
        for flip in (Flip(0, "weight", i, bit) for i in range(64) for bit in range(8))
    ]
    assert right.count(0) == 1
    assert len(set(flips)) == 3
    control = [random_flips(classifier.backend.model, 3, np.random.default_rng(i)) for i in (0, 1)]
    rows = curve(classifier, samples, flips, control, [0, 1, 3]).rows
    assert [row.searched.correct for row in rows] == [8, 0, 0]
    assert [rate.correct for rate in rows[0].random] == [8, 8]
    with pytest.raises(BadInput, match="4 asked for, 3 found"):
        curve(classifier, samples, flips, control, [4])


def test_the_search_beats_chance_and_lava_would_agree():
    """On a random network; what the engine scored is what the reference computes."""
    model = random_network(3)
    classifier = Classifier(DirectEncoder((6, 1, 1)), EngineBackend(model), Readout("count", 1.0))
    drawn = np.random.default_rng(1).random((64, 6, 1, 1, 12)) < 0.5
    x = torch.from_numpy(drawn.astype(np.uint8))
    labels = classifier.predict(x)
    samples = Samples.of(classifier, x, labels, torch.Generator())
    flips = Search(candidates=3)(classifier, samples, 4)
    control = [random_flips(model, 4, np.random.default_rng(i)) for i in range(5)]
    row = curve(classifier, samples, flips, control, [4]).rows[0]
    assert row.searched.correct < min(rate.correct for rate in row.random)
    changed = flipped(model, flips)
    assert torch.equal(
        EngineBackend(changed).run(x).spikes, ReferenceBackend(changed).run(x).spikes
    )
    assert flips == Search(candidates=3)(classifier, samples, 4)


def test_no_bits_is_refused():
    classifier = planted()
    samples = Samples.of(
        classifier, torch.zeros((1, 32, 1, 1, 2), dtype=torch.uint8), torch.zeros(1).long(),
        torch.Generator(),
    )  # fmt: skip
    with pytest.raises(BadInput, match="weight bits: 0 below 1"):
        Search()(classifier, samples, 0)
    assert dataclasses.asdict(Flip(0, "weight", 1, 2)) == {
        "layer": 0, "name": "weight", "index": 1, "bit": 2,
    }  # fmt: skip
