"""Every arithmetic path of the engine gives the reference's integers, or is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurorobust.backends.engine import EngineBackend, event_weights, int8, make_plan, memory
from neurorobust.backends.engine.arithmetic import PATHS, Arithmetic, density
from neurorobust.backends.engine.synapses import Conv, Dense
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.errors import BadInput
from neurorobust.netx.model import ConvLayer, DenseLayer, InputLayer, NetxModel, Neuron
from neurorobust.types import Inputs, Run
from tests.build import neuron

cases = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def dense_network(weight, cell: Neuron, **fields) -> NetxModel:
    weight = np.asarray(weight, dtype=np.int64)
    layer = DenseLayer(0, (len(weight), 1, 1), cell, weight, **fields)
    return NetxModel((weight.shape[1], 1, 1), (layer,))


def assert_same(got: Run, wanted: Run) -> None:
    assert got.spikes.dtype == torch.uint8
    assert got.spikes.equal(wanted.spikes)
    assert got.membrane.equal(wanted.membrane)
    assert list(got.layers) == list(wanted.layers)
    for number, trace in wanted.layers.items():
        for name in ("spikes", "u", "v"):
            assert getattr(got.layers[number], name).equal(getattr(trace, name)), (number, name)


def ways(model: NetxModel) -> list[dict[int, str]]:
    """Every path that some layer can be made to take, the others left to the plan."""
    found = []
    for layer in make_plan(model).layers:
        for path in PATHS[1:] if layer.synapse else ():
            try:
                make_plan(model, {layer.number: path})
            except BadInput as error:
                assert "refused" in str(error)  # noqa: PT017
                continue
            found.append({layer.number: path})
    return found


def check_all_ways(model: NetxModel, inputs) -> set[str]:
    inputs = Inputs.of(inputs)
    numbers = [layer.number for layer in model.running_layers(inputs.driven)]
    wanted = ReferenceBackend(model).run(inputs, numbers)
    taken = set()
    for way in ways(model):
        engine = EngineBackend(model, path=way)
        assert_same(engine.run(inputs, numbers), wanted)
        plain = engine.run(inputs)
        assert plain.spikes.equal(wanted.spikes)
        assert plain.membrane.equal(wanted.membrane)
        taken |= set(way.values())
    return taken


@settings(cases, max_examples=120)
@given(data=st.data())
def test_random_networks_on_every_path(tiny_networks, data):
    model, inputs = data.draw(tiny_networks)
    if inputs.driven or model.input_layer is None or len(model.spiking_layers) > 1:
        check_all_ways(model, inputs)


@st.composite
def wide_layers(draw) -> tuple[NetxModel, torch.Tensor]:
    """Outputs and inputs on both sides of the kernels' block sizes, weights at their borders."""
    outputs = draw(st.sampled_from([1, 31, 32, 33, 64, 65, 255, 257, 300]))
    inputs = draw(st.sampled_from([1, 63, 64, 65, 130, 600]))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = draw(
        st.sampled_from(
            [[-128, 127], [-256, 254], [-256, -255, 1, 254], [255, 3], [-3, 2, 0], [-31, 31, 32]]
        )
    )
    weight = generator.choice(values, (outputs, inputs))
    weight.flat[0] = values[0]
    decays = st.sampled_from([0, 1, 1024, 4095, 4096])
    cell = neuron(draw(decays), draw(decays), draw(st.sampled_from([1, 90, 4000])))
    batch, steps = draw(st.integers(1, 3)), draw(st.sampled_from([1, 5, 65]))
    density = draw(st.sampled_from([0.0, 0.1, 0.6, 1.0]))
    spikes = generator.random((batch, inputs, 1, 1, steps)) < density
    bias = generator.integers(-4096, 4095, outputs) if draw(st.booleans()) else None
    return dense_network(weight, cell, bias=bias), torch.from_numpy(spikes.astype(np.uint8))


@settings(cases, max_examples=60)
@given(case=wide_layers())
def test_wide_layers_on_every_path(case):
    assert {"float32", "float64", "event"} <= check_all_ways(*case)


@settings(cases, max_examples=25)
@given(
    values=st.sampled_from([(-128, 127), (-256, 254), (-255, 1, 254), (-20, 19)]),
    channels=st.sampled_from([1, 3, 24]),
    stride=st.sampled_from([(1, 1), (2, 1), (1, 3)]),
    padding=st.sampled_from([(0, 0), (1, 0), (2, 1)]),
    dilation=st.sampled_from([(1, 1), (1, 2), (2, 1)]),
    seed=st.integers(0, 2**32 - 1),
)
def test_convolutions_on_every_path(values, channels, stride, padding, dilation, seed):
    generator = np.random.default_rng(seed)
    weight = generator.choice(values, (33, channels, 3, 2))
    sizes = [
        (length + 2 * pad - spread * (kernel - 1) - 1) // step + 1
        for length, pad, spread, kernel, step in zip(
            (7, 6), padding, dilation, (3, 2), stride, strict=True
        )
    ]
    layer = ConvLayer(
        1, (33, *sizes), neuron(1000, 300, 200), weight, None, stride, padding, dilation
    )
    model = NetxModel((channels, 7, 6), (InputLayer(0, (channels, 7, 6), None), layer))
    spikes = generator.integers(0, 2, (2, channels, 7, 6, 4)).astype(np.uint8)
    assert {"float32", "float64"} <= check_all_ways(model, torch.from_numpy(spikes))


@pytest.mark.parametrize(
    ("values", "scale", "parts"),
    [([-128, 127], 1, 1), ([-256, 254], 2, 1), ([-255, 254], 1, 2), ([-256, 255], 0, 0)],
)
def test_how_weights_are_brought_into_int8(values, scale, parts):
    weights = np.array([values, values[::-1]])
    found = int8.split(weights)
    assert (found is None) == (parts == 0)
    if found is not None:
        matrices, factor = found
        assert (len(matrices), factor) == (parts, scale)
        assert all(part.min() >= -128 and part.max() <= 127 for part in matrices)
        assert np.array_equal(np.sum(matrices, 0) * factor, weights)


def test_the_int8_operator_is_probed():
    """Here it is there and right; where it raises or errs it is dropped, and the plan says why."""
    model = dense_network(np.arange(-128, 128).reshape(4, 64), neuron())
    reason = int8.unusable()
    plan = make_plan(model).layers[0].arithmetic
    assert plan is not None
    assert (plan.product == "int8") == (reason == "")
    assert reason in plan.reason


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("raises", "no int8 operator (RuntimeError)"), ("errs", "the int8 operator is wrong here")],
)
def test_a_faulty_int8_operator_is_dropped(fault, reason, monkeypatch):
    def faulty(rows, packed, scales, zeros):
        if fault == "raises":
            raise RuntimeError("Didn't find engine")
        return torch.zeros((len(rows), len(scales)))

    monkeypatch.setattr(int8, "_product", faulty)
    int8.unusable.cache_clear()
    try:
        model = dense_network(np.arange(-128, 128).reshape(4, 64), neuron())
        assert make_plan(model).layers[0].arithmetic.product == "float32"
        assert reason in str(make_plan(model))
        with pytest.raises(BadInput, match="path 'int8' refused: "):
            make_plan(model, "int8")
    finally:
        int8.unusable.cache_clear()


def test_paths_that_are_refused():
    wide = np.full((2, 65_536), -256)
    wide[1] = 1
    with pytest.raises(BadInput, match=r"layer 0 \(dense\): path 'float32' refused: sum \|w\| >= "):
        make_plan(dense_network(wide, neuron()), "float32")
    with pytest.raises(BadInput, match=r"path 'int8' refused: too large for int8 products"):
        make_plan(dense_network(wide, neuron()), "int8")
    with pytest.raises(BadInput, match=r"path 'event' refused: 64 \|a\| > 2\^23"):
        make_plan(dense_network(wide, neuron()), "event")
    delayed = dense_network([[1, 2]], neuron(), delay=np.array([[0, 3]]))
    for path in ("int8", "event"):
        with pytest.raises(BadInput, match=rf"layer 0 \(dense\): path '{path}' refused: "):
            make_plan(delayed, path)
    with pytest.raises(BadInput, match="path 'fast' unknown, known: auto, int8, float32, float64"):
        make_plan(delayed, "fast")
    with pytest.raises(BadInput, match=r"paths: layer 7 has no synapses, layers that do: \[0\]"):
        make_plan(delayed, {7: "float32"})


@pytest.mark.parametrize(("product", "at_full"), [("int8", False), ("float32", True)])
def test_the_gather_is_taken_where_few_inputs_spike(product, at_full):
    """By the density of the batch at hand; where it starts depends on the product and the layer.

    Which product a layer has depends on the machine: whether its int8 operator is the faster one.
    """
    planned = make_plan(dense_network(np.full((512, 784), 3), neuron())).layers[0].arithmetic
    assert planned is not None
    arithmetic = Arithmetic(product, True, planned.synapse, "")
    assert arithmetic.gathers(np.zeros((32, 16, 784), dtype=np.uint8))
    assert arithmetic.gathers(np.ones((32, 16, 784), dtype=np.uint8)) is at_full
    assert arithmetic.break_even(16) > arithmetic.break_even(4096)
    for active in (100, 300, 600):
        signal = np.zeros((32, 16, 784), dtype=np.uint8)
        signal[..., :active] = 1
        few = active / 784 < arithmetic.break_even(512)
        assert arithmetic.gathers(signal) is few
        assert few is (at_full or active == 100)


def test_without_a_product_the_gather_is_taken_always_and_without_the_gather_never():
    planned = make_plan(dense_network(np.full((512, 784), 3), neuron())).layers[0].arithmetic
    signal = np.ones((32, 16, 784), dtype=np.uint8)
    assert Arithmetic("", True, planned.synapse, "").gathers(signal)
    assert not Arithmetic("int8", False, planned.synapse, "").gathers(0 * signal)


def test_the_density_of_a_batch_is_the_share_of_ones():
    signal = np.zeros((2, 3, 10), dtype=np.uint8)
    signal[1, 2, :6] = 1
    assert density(signal) == 6 / 60


def test_four_rows_are_added_in_int8_only_where_they_fit():
    fits, beyond = np.ones((2, 9), dtype=np.int64), np.ones((2, 9), dtype=np.int64)
    fits[1, 3:7] = [32, -32, 32, -31]
    beyond[1, 3:7] = 32
    assert event_weights.pack(fits).quads
    assert not event_weights.pack(beyond).quads
    assert event_weights.pack(beyond * 5).blocks.dtype == np.int16
    assert event_weights.pack(beyond * 2).blocks.dtype == np.int8
    halved = event_weights.pack(np.array([[254, -128]]))
    assert (halved.blocks[0, :, 0].tolist(), halved.factor) == ([127, -64], 2.0)
    assert halved.blocks.ctypes.data % 64 == 0


def test_the_memory_limit_bounds_the_chunks():
    model = dense_network(np.ones((300, 400), dtype=np.int64), neuron())
    plan = make_plan(model)
    free = plan.chunk(50, 1)
    need = plan.peak_bytes(50, 1)
    assert free > 1
    smaller = make_plan(model, memory_limit=need - 1)
    assert 1 <= smaller.chunk(50, 1) < free
    assert smaller.peak_bytes(50, 1) < need
    assert smaller.chunk(50, 1, recorded=True) < smaller.chunk(50, 1)
    spikes = torch.ones((3, 400, 1, 1, 50), dtype=torch.uint8)
    with pytest.raises(
        BadInput, match=r"memory limit 9000 bytes below \d+, which one sample of 1 "
    ):
        make_plan(model, memory_limit=9000)
    tight = EngineBackend(model, memory_limit=make_plan(model).peak_bytes(1, 1))
    with pytest.raises(BadInput, match="which one sample of 200000 steps on each of"):
        tight.run(torch.ones((1, 400, 1, 1, 200_000), dtype=torch.uint8))
    assert tight.run(spikes[..., :1]).spikes.shape == (3, 300, 1)


@pytest.mark.parametrize("block", [1, 1 << 12, 1 << 20])
def test_blocks_of_samples_and_of_time_change_nothing(block, monkeypatch):
    """A block is a share of one sample's steps, or several samples."""
    monkeypatch.setattr(memory, "BLOCK_BYTES", block)
    generator = np.random.default_rng(3)
    kernel = generator.integers(-60, 90, (5, 2, 3, 3))
    conv = ConvLayer(1, (5, 4, 5), neuron(500, 100, 60), kernel)
    model = NetxModel((2, 6, 7), (InputLayer(0, (2, 6, 7), None), conv))
    spikes = torch.from_numpy(generator.integers(0, 2, (5, 2, 6, 7, 12)).astype(np.uint8))
    wanted = ReferenceBackend(model).run(spikes, [1])
    assert_same(EngineBackend(model).run(spikes, [1]), wanted)
    layer = make_plan(model).layers[0]
    assert layer.memory.block(12) == ((1, 1) if block == 1 else layer.memory.block(12))
    assert isinstance(layer.synapse, Conv)
    assert not isinstance(layer.synapse, Dense)


@pytest.mark.usefixtures("int8_at_any_speed")
@pytest.mark.parametrize("bias", [None, 500])
@pytest.mark.parametrize("path", ["int8", "float32", "float64"])
def test_convolutions_larger_than_a_block_of_neurons(path, bias):
    """Constants repeat with the channels; the kernels hold one block of them."""
    generator = np.random.default_rng(4)
    cell = neuron(*(generator.integers(0, limit, 30) for limit in (4097, 4097, 300)))
    kernel = generator.integers(-128, 128, (30, 3, 2, 2))
    biases = None if bias is None else generator.integers(-bias, bias, 30)
    conv = ConvLayer(1, (30, 9, 8), cell, kernel, biases)
    model = NetxModel((3, 10, 9), (InputLayer(0, (3, 10, 9), None), conv))
    spikes = torch.from_numpy(generator.integers(0, 2, (2, 3, 10, 9, 5)).astype(np.uint8))
    engine = EngineBackend(model, path=path)
    assert engine.plan.layers[0].constants(np.float32).shape == (4, 1020)
    assert_same(engine.run(spikes, [1]), ReferenceBackend(model).run(spikes, [1]))
