"""The engine against the reference, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurorobust.backends.base import Backend, DifferentiableBackend
from neurorobust.backends.engine import EngineBackend, loops, memory
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.errors import BadInput, ModelFileError
from neurorobust.netx.model import (
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    NetxModel,
)
from neurorobust.surrogates import DEFAULT, Surrogate
from neurorobust.types import Inputs, Run
from tests.build import neuron

cases = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def dense(number, weight, cell=None, **fields) -> DenseLayer:
    weight = np.array(weight, dtype=np.int64)
    return DenseLayer(number, (len(weight), 1, 1), cell, weight, **fields)


def network(*layers) -> NetxModel:
    first = layers[0]
    shape = (first.weight.shape[1], 1, 1) if isinstance(first, DenseLayer) else first.shape
    return NetxModel(shape, layers)


def recordable(model, inputs) -> list[int]:
    return [layer.number for layer in model.running_layers(Inputs.of(inputs).driven)]


def assert_same(got: Run, wanted: Run) -> None:
    pairs = [("spikes", got.spikes, wanted.spikes), ("membrane", got.membrane, wanted.membrane)]
    assert list(got.layers) == list(wanted.layers)
    for number, trace in wanted.layers.items():
        for name in ("spikes", "u", "v"):
            mine = getattr(got.layers[number], name)
            pairs.append((f"layer {number}: {name}", mine, getattr(trace, name)))
    for name, mine, theirs in pairs:
        assert mine.dtype == theirs.dtype, name
        assert mine.shape == theirs.shape, name
        assert mine.equal(theirs), f"{name}: {mine} instead of {theirs}"


def check(model, inputs) -> Run:
    numbers = recordable(model, inputs)
    run = EngineBackend(model).run(inputs, numbers)
    assert_same(run, ReferenceBackend(model).run(inputs, numbers))
    return run


@settings(cases, max_examples=300)
@given(data=st.data())
def test_random_networks(tiny_networks, data):
    model, inputs = data.draw(tiny_networks)
    if recordable(model, inputs):
        check(model, inputs)


@st.composite
def crowded(draw) -> tuple[NetxModel, torch.Tensor]:
    """Fan-ins so wide that u wraps, u drifts out of 24 bits and v saturates."""
    fan_in = draw(st.sampled_from([520, 1100, 2600]))
    fan_out = draw(st.integers(1, 4))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([1, 40, 256]))
    sizes = generator.integers(257 - spread, 256, (fan_out, fan_in), endpoint=True)
    weight = np.clip(sizes * generator.choice([-1, 1], (fan_out, 1)), -256, 254)
    decays = st.sampled_from([0, 1, 200, 4095, 4096])
    threshold = draw(st.sampled_from([1, 1000, 131071, 131072]))
    first = dense(0, weight, neuron(draw(decays), draw(decays), threshold))
    generator_delays = generator.integers(0, 2, weight.shape, endpoint=True)
    if draw(st.booleans()):
        first = dense(0, weight, first.neuron, delay=generator_delays)
    batch, steps = draw(st.integers(1, 2)), draw(st.sampled_from([1, 3, 12]))
    dense_enough = draw(st.sampled_from([0.3, 0.9, 1.0]))
    spikes = generator.random((batch, fan_in, 1, 1, steps)) < dense_enough
    return network(first), torch.from_numpy(spikes.astype(np.uint8))


@settings(cases, max_examples=150)
@given(case=crowded())
def test_crowded_networks(case):
    check(*case)


def test_crowded_networks_reach_the_borders():
    """What the strategy above is for does happen."""
    model = network(dense(0, np.full((1, 2600), 254), neuron(0, 0, 131072)))
    trace = check(model, torch.ones((1, 2600, 1, 1, 4), dtype=torch.uint8)).layers[0]
    assert int(trace.u.abs().max()) > 1 << 23  # wrapped once, and still outside 24 bits
    assert int(trace.v.abs().max()) == (1 << 23) - 1


@pytest.mark.parametrize(("weight", "u"), [(-128, 1 << 23), (128, 1 << 23), (-127, -127 << 16)])
def test_the_wrap_at_its_border(weight, u):
    """1024 inputs of 128 give exactly 2^23, which stays; -2^23 becomes +2^23."""
    rest = [[1 if weight < 0 else -1] + [0] * 1023]  # keeps the matrix mixed: nothing is lost
    model = network(dense(0, np.concatenate([np.full((1, 1024), weight), rest]), neuron()))
    run = check(model, torch.ones((1, 1024, 1, 1, 1), dtype=torch.uint8))
    assert run.layers[0].u[0, 0, 0] == u


@pytest.mark.parametrize("current_decay", [0, 1, 300])
@pytest.mark.parametrize("weight", [254, -256])
def test_currents_beyond_int32_wrap_as_lava(current_decay, weight):
    """70,000 full inputs: sums beyond 2^24 (float64), u beyond ±2^31 in the second step (int64)."""
    weights = np.full((2, 70_000), weight)
    weights[1, ::2] = 3 if weight < 0 else -3
    model = network(dense(0, weights, neuron(current_decay, 3, 131072)))
    plan = EngineBackend(model).plan.layers[0]
    assert plan.synapse.proof.dtype == torch.float64
    assert not plan.leaves_int32(1)
    assert plan.leaves_int32(2)
    spikes = torch.ones((2, 70_000, 1, 1, 6), dtype=torch.uint8)
    spikes[1, ::7] = 0
    u = check(model, spikes).layers[0].u[0, 0]
    assert int(u[0]) == (70_000 * weight << 6) - np.sign(weight) * (1 << 24)
    assert int(u[1].sign()) == -np.sign(weight)


@pytest.mark.parametrize("bias", [64, -64, 40_000, 32_767, -32_768])
def test_a_threshold_hit_exactly_is_no_spike(bias):
    """v = bias, 2 bias, ...: at step 3 it equals the threshold, at step 4 it exceeds it."""
    cast = int(np.array(bias).astype(np.int16))
    model = network(dense(0, [[1]], neuron(0, 0, 3 * cast), bias=np.array([bias])))
    run = check(model, torch.zeros((1, 1, 1, 1, 9), dtype=torch.uint8))
    if cast > 0:
        assert run.spikes.flatten().tolist() == [0, 0, 0, 1, 0, 0, 0, 1, 0]


def test_voltage_saturates_and_stays_under_the_accumulator_threshold():
    model = network(dense(0, [[254], [-256]], None, bias=np.array([32_767, -32_768])))
    run = check(model, torch.ones((1, 1, 1, 1, 2), dtype=torch.uint8))
    assert run.spikes.sum() == 0
    high = network(dense(0, [[254], [-256]], neuron(0, 0, 131072)))
    v = check(high, torch.ones((1, 1, 1, 1, 40), dtype=torch.uint8)).layers[0].v
    assert v.flatten(1).amax() == (1 << 23) - 1
    assert v.flatten(1).amin() == 1 - (1 << 23)


@pytest.mark.parametrize(
    "row",
    [
        [-128, -3, -1],
        [-64, -62, -1],
        [255, 3, 0],
        [3, 1, 2],
        [-256, 0, -1],
        [0, -1, -64],
        [0, -3, -128],
    ],
)
@pytest.mark.parametrize("delay", [None, [0, 1, 1]])
def test_weights_that_lava_changes(row, delay):
    """The last two keep a shift that drops bits of the sum, of each delay's sum."""
    delays = None if delay is None else np.array([delay])
    bias = np.array([1000])
    model = network(dense(0, [row], neuron(100, 50, 3), bias=bias, delay=delays))
    spikes = np.random.default_rng(1).integers(0, 2, (4, 3, 1, 1, 9)).astype(np.uint8)
    check(model, torch.from_numpy(spikes))


def test_delays_up_to_62():
    generator = np.random.default_rng(0)
    weight = generator.integers(-20, 20, (5, 7))
    delay = generator.integers(0, 62, weight.shape, endpoint=True)
    delay[0, :2] = (0, 62)
    model = network(dense(0, weight, neuron(900, 100, 20), delay=delay))
    spikes = torch.from_numpy(generator.integers(0, 2, (2, 7, 1, 1, 80)).astype(np.uint8))
    assert check(model, spikes).spikes.sum() > 0
    check(model, spikes[..., :3])  # most delays are longer than the run


def test_conv_sums_wrap_to_24_bits():
    weight = np.full((3, 34_000, 1, 1), 254)
    weight[1] = -256
    weight[2, ::2] = -256
    layer = ConvLayer(1, (3, 1, 2), neuron(0, 4096, 5000), weight)
    model = network(InputLayer(0, (34_000, 1, 2), None), layer)
    spikes = torch.ones((1, 34_000, 1, 2, 3), dtype=torch.uint8)
    spikes[:, :1000, :, 1, 1] = 0
    plan = EngineBackend(model).plan.layers[0].synapse
    assert plan.wraps
    assert plan.proof.dtype == torch.float32
    first = check(model, spikes).layers[1].u[0, :2, 0]
    assert first.tolist() != [34_000 * 254 << 6] * 2


@pytest.mark.parametrize("stride", [(1, 2), (1, 3), (2, 1)])
def test_conv_where_onednn_is_wrong(stride):
    """`conv2d` on one channels-last channel gives other sums for some of these in float32."""
    generator = np.random.default_rng(0)
    weight = generator.integers(-9, 9, (2, 1, 3, 3))
    shape = (2, 4 // stride[0] + 1, 1 // stride[1] + 1)
    layer = ConvLayer(1, shape, neuron(0, 0, 30), weight, None, stride, (2, 0))
    model = network(InputLayer(0, (1, 3, 4), None), layer)
    spikes = torch.from_numpy(generator.integers(0, 2, (2, 1, 3, 4, 4)).astype(np.uint8))
    check(model, spikes)


def small_network() -> NetxModel:
    generator = np.random.default_rng(5)
    kernel = generator.integers(-60, 90, (6, 2, 3, 3))
    conv = ConvLayer(1, (6, 3, 3), neuron(500, 100, 60), kernel, None, (2, 2), (1, 1))
    weight = generator.integers(-120, 120, (9, 54))
    delay = generator.integers(0, 3, weight.shape)
    return network(
        InputLayer(0, (2, 5, 6), neuron(0, 128, 80)),
        conv,
        FlattenLayer(2, (54, 1, 1)),
        dense(3, weight, neuron(1024, 200, 50), delay=delay),
        dense(4, generator.integers(-120, 120, (4, 9)), None),
    )


@pytest.fixture
def small_inputs() -> tuple[Inputs, Inputs]:
    generator = np.random.default_rng(6)
    drive = torch.from_numpy(generator.integers(-20, 90, (5, 2, 5, 6)).astype(np.int32))
    spikes = torch.from_numpy(generator.integers(0, 2, (5, 2, 5, 6, 11)).astype(np.uint8))
    return Inputs.drive(drive, 11), Inputs.of(spikes)


@pytest.mark.parametrize("kind", [0, 1])
def test_results_do_not_depend_on_batch_chunks_or_threads(
    kind, small_inputs, monkeypatch, torch_threads
):
    inputs, engine = small_inputs[kind], EngineBackend(small_network())
    record = recordable(engine.model, inputs)
    whole = check(engine.model, inputs)
    assert all(0 < trace.spikes.float().mean() < 1 for n, trace in whole.layers.items() if n < 4)
    monkeypatch.setattr(loops, "WORTH_A_THREAD", 1)
    torch_threads(3)
    assert_same(engine.run(inputs, record), whole)
    monkeypatch.setattr(memory, "CHUNK_BYTES", 1)
    monkeypatch.setattr(memory, "BLOCK_BYTES", 1)
    assert_same(engine.run(inputs, record), whole)
    for sample in range(5):
        part = slice(sample, sample + 1)
        one = inputs[part]
        assert torch.equal(engine.run(one).spikes, whole.spikes[part])
        assert torch.equal(engine.run(one).membrane, whole.membrane[part])


@pytest.mark.parametrize("kind", [0, 1])
def test_forward_returns_the_integers_of_run(kind, small_inputs):
    inputs, engine = small_inputs[kind], EngineBackend(small_network())
    run = engine.run(inputs)
    floats = inputs.with_values(inputs.values.double())
    forward = engine.forward(floats, DEFAULT)
    assert forward.spikes.dtype == forward.membrane.dtype == torch.float32
    assert torch.equal(forward.spikes.to(torch.uint8), run.spikes)
    assert torch.equal(forward.membrane.to(torch.int32), run.membrane)


def test_an_empty_batch_gives_empty_results(small_inputs):
    engine = EngineBackend(small_network())
    run = engine.run(small_inputs[1][:0], [1])
    assert run.spikes.shape == (0, 4, 11)
    assert run.membrane.shape == (0, 4)
    assert run.layers[1].u.shape == (0, 54, 11)


def test_it_is_a_differentiable_backend():
    engine = EngineBackend(small_network())
    assert isinstance(engine, Backend)
    assert isinstance(engine, DifferentiableBackend)
    assert engine.name == "engine"


def test_inputs_are_left_alone(small_inputs):
    drive, spikes = small_inputs
    engine = EngineBackend(small_network())
    before = spikes.values.clone(), drive.values.clone()
    engine.run(spikes)
    engine.run(drive)
    floats = spikes.values.float()
    engine.forward(floats, Surrogate())
    assert torch.equal(spikes.values, before[0])
    assert torch.equal(drive.values, before[1])
    assert torch.equal(floats, before[0].float())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0.5, "spikes: value 0.5 is not an integer"),
        (2.0, "spikes: value 2 is neither 0 nor 1"),
        (-1.0, "spikes: value -1 is neither 0 nor 1"),
        (float("nan"), "spikes: value nan is not an integer"),
    ],
)
def test_forward_refuses_what_is_no_spike(value, message):
    spikes = torch.zeros((1, 2, 5, 6, 3))
    spikes[0, 1, 2, 3, 1] = value
    with pytest.raises(BadInput, match=message):
        EngineBackend(small_network()).forward(spikes, DEFAULT)


def test_refusals(small_inputs):
    engine = EngineBackend(small_network())
    with pytest.raises(BadInput, match=r"engine: device 'tpu' unknown, known: cpu"):
        EngineBackend(small_network(), device="tpu")
    with pytest.raises(BadInput, match=r"record: layer 0 \(input\) is skipped when spikes are"):
        engine.run(small_inputs[1], [0])
    with pytest.raises(BadInput, match=r"record: layer 2 holds no neurons"):
        engine.run(small_inputs[1], [2])
    with pytest.raises(BadInput, match=r"drive: value 0.25 is not an integer"):
        engine.forward(Inputs.drive(torch.full((1, 2, 5, 6), 0.25), 3), DEFAULT)
    with pytest.raises(BadInput, match=r"spikes: the network has no synapse, give it drive"):
        EngineBackend(network(InputLayer(0, (2, 1, 1), neuron()))).run(torch.zeros(1, 2, 1, 1, 3))


def test_models_that_do_not_fit():
    with pytest.raises(ModelFileError, match=r"layer 0 \(dense\): dense weights are all zero"):
        EngineBackend(network(dense(0, [[0, 0]], neuron())))
    with pytest.raises(
        ModelFileError, match=r"layer 0 \(dense\): vThMant has 3 entries, need 1 or"
    ):
        EngineBackend(network(dense(0, [[1, 2]], neuron(0, 0, [1, 2, 3]))))
    with pytest.raises(ModelFileError, match=r"input \(3, 1, 1\), its first layer takes \(2, 1, 1"):
        EngineBackend(NetxModel((3, 1, 1), (dense(0, [[1, 2]], neuron()),)))
    with pytest.raises(ModelFileError, match=r"layer 1 \(dense\): .* takes 3 inputs"):
        EngineBackend(network(dense(0, [[1, 2]], neuron()), dense(1, [[1, 2, 3]], neuron())))
