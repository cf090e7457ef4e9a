"""Training on the exact target: masters, the integers they stand for, what is refused."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import Tensor

from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.engine.trainable import TrainableEngine
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.errors import BadInput, ModelFileError
from neurorobust.netx.model import (
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    NetxModel,
    Neuron,
)
from neurorobust.surrogates import Surrogate


def drawn(model: NetxModel) -> Tensor:
    """Spikes of 8 samples and 12 steps, half of them ones."""
    shape = (8, *model.input_shape, 12)
    return torch.from_numpy((np.random.default_rng(4).random(shape) < 0.5).astype(np.uint8))


def mixed() -> NetxModel:
    """Conv with stride and groups, dense, delayed dense; biases, one a layer or a channel."""
    generator = np.random.default_rng(6)

    def weight(*shape: int) -> np.ndarray:
        return generator.integers(-60, 80, shape)

    def cell(threshold) -> Neuron:
        return Neuron(np.array(512), np.array(200), np.array(threshold))

    bias = generator.integers(-30, 60, 4)
    first = InputLayer(0, (2, 5, 3), None)
    conv = ConvLayer(1, (4, 3, 2), cell(150), weight(4, 1, 3, 2), bias, (2, 1), (1, 0), groups=2)
    dense = DenseLayer(3, (9, 1, 1), cell(300), weight(9, 24), generator.integers(-30, 60, 9))
    delay = generator.integers(0, 4, (5, 9))
    delayed = DenseLayer(4, (5, 1, 1), cell(200), weight(5, 9), None, delay)
    return NetxModel((2, 5, 3), (first, conv, FlattenLayer(2, (24, 1, 1)), dense, delayed))


def test_training_on_the_exact_target_and_back_to_a_file():
    """Some steps of an optimiser: the loss falls, the integers run the same in the reference."""
    engine = TrainableEngine(mixed(), Surrogate("fast-sigmoid", 1.0))
    values = np.random.default_rng(7).integers(0, 2, (4, 2, 5, 3, 8)).astype(np.uint8)
    spikes, wanted = torch.from_numpy(values), torch.tensor([0, 1, 2, 3])
    optimiser = torch.optim.Adam(engine.parameters(), lr=2.0)
    losses = []
    for _ in range(25):
        optimiser.zero_grad()
        rates = engine(spikes).spikes.sum(-1)
        worth = torch.nn.functional.cross_entropy(rates, wanted)
        worth.backward()
        optimiser.step()
        losses.append(worth.item())
    assert min(losses[-5:]) < 0.5 * losses[0]
    trained = engine.trained()
    for layer, before in zip(trained.layers, mixed().layers, strict=True):
        if isinstance(layer, DenseLayer | ConvLayer):
            assert not np.array_equal(layer.weight, before.weight)
            assert (layer.weight % 2 == 0).all()
            assert -256 <= layer.weight.min() < layer.weight.max() <= 254
    mine = engine(spikes)
    theirs = ReferenceBackend(trained).run(spikes)
    again = EngineBackend(trained).run(spikes)
    for run in (theirs, again):
        assert torch.equal(mine.spikes.to(torch.uint8), run.spikes)
        assert torch.equal(mine.membrane.to(torch.int32), run.membrane)


def test_masters_are_rounded_to_even_and_clipped():
    engine = TrainableEngine(mixed())
    masters = torch.tensor([-300.0, -3.1, -2.9, 0.99, 1.01, 252.9, 253.1, 1e9])
    with torch.no_grad():
        engine.weights["3"][0, :8] = masters
    weight = engine.trained().layers[3].weight
    assert weight[0, :8].tolist() == [-256, -4, -2, 0, 2, 252, 254, 254]
    assert weight.dtype == np.int64


def extreme_weights() -> list[np.ndarray]:
    """Even matrices at the borders of Lava's packing."""
    cases = [[[-256, 254]], [[2, -2]], [[128, -128]], [[126, -130]], [[254, 2]], [[64, 0]]]
    cases += [[[-128, 0]], [[-64, -2]], [[-256, -254]], [[0, 2]], [[-2, 252]], [[-256, 2]]]
    return [np.array(case) for case in cases]


@pytest.mark.parametrize("weight", extreme_weights(), ids=str)
def test_the_short_way_to_a_plan_is_lavas(weight):
    """Set as masters, each matrix runs as the reference runs the file made of it."""
    cell = Neuron(np.array(300), np.array(100), np.array(50))
    start = DenseLayer(0, (1, 1, 1), cell, np.array([[10, -10]]), np.array([7]))
    engine = TrainableEngine(NetxModel((2, 1, 1), (start,)))
    with torch.no_grad():
        engine.weights["0"].copy_(torch.tensor(weight))
        engine.biases["0"].fill_(-4096.7)
    spikes = drawn(engine.model)
    mine, theirs = engine(spikes), ReferenceBackend(engine.trained()).run(spikes)
    assert engine.trained().layers[0].bias.tolist() == [-4096]
    assert torch.equal(mine.spikes.to(torch.uint8), theirs.spikes)
    assert torch.equal(mine.membrane.to(torch.int32), theirs.membrane)


def test_nothing_to_train_is_refused():
    cell = Neuron(np.array(0), np.array(0), np.array(9))
    with pytest.raises(BadInput, match="no layer with weights"):
        TrainableEngine(NetxModel((2, 1, 1), (InputLayer(0, (2, 1, 1), cell),)))


def test_masters_that_became_zero_are_refused():
    engine = TrainableEngine(mixed())
    with torch.no_grad():
        engine.weights["3"].zero_()
    with pytest.raises(ModelFileError, match=r"layer 3 .*all zero"):
        engine(drawn(engine.model))


def test_a_weight_that_is_not_a_number_is_refused():
    engine = TrainableEngine(mixed())
    with torch.no_grad():
        next(iter(engine.weights.values())).view(-1)[3] = float("nan")
    with pytest.raises(BadInput, match="a weight to be trained is not a number"):
        engine(drawn(engine.model))


def test_a_trained_network_is_copied_and_pickled_after_a_run(wide):
    engine = TrainableEngine(wide, gradient="bfloat16")
    spikes = torch.ones((2, *engine.model.input_shape, 4), dtype=torch.uint8)
    wanted = engine(spikes)
    again = engine(spikes)  # the second run packs before it begins
    assert torch.equal(again.membrane, wanted.membrane)
    for twin in (copy.deepcopy(engine), pickle.loads(pickle.dumps(engine))):
        assert torch.equal(twin(spikes).membrane, wanted.membrane)


@pytest.mark.parametrize("threads", [1, 2])
def test_weights_packed_on_threads_are_those_of_the_file(threads: int, wide, torch_threads):
    torch_threads(threads)
    engine = TrainableEngine(wide)
    spikes = drawn(wide)
    engine(spikes)
    for turn in range(3):
        for number, master in enumerate(engine.parameters()):
            generator = torch.Generator().manual_seed(100 * turn + number)
            master.data += 20 * torch.randn(master.shape, generator=generator)
        wanted = ReferenceBackend(engine.trained()).run(spikes)
        found = engine(spikes)
        assert torch.equal(found.spikes.to(torch.uint8), wanted.spikes)
        assert torch.equal(found.membrane.to(torch.int32), wanted.membrane)
