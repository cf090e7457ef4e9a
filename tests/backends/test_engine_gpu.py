"""The engine's GPU code: on a GPU where there is one, else in triton's interpreter on the CPU."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurorobust import surrogates
from neurorobust.attacks.modes.means import BPTR
from neurorobust.attacks.modes.potential import PDSG
from neurorobust.backends.engine import EngineBackend, devices
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.errors import BadInput, ModelFileError, UnavailableError
from neurorobust.fixedpoint import lif_step, pack_recurrent_weights
from neurorobust.netx.model import (
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    NetxModel,
    RecurrentLayer,
)
from neurorobust.surrogates import BackwardMode, Surrogate, fired
from neurorobust.types import Inputs, Run
from tests.build import neuron

triton = pytest.importorskip("triton", reason="needs triton, which compiles for GPUs")
if tuple(int(part) for part in re.findall(r"\d+", triton.__version__)[:2]) < devices.OLDEST_TRITON:
    pytest.skip(
        f"triton {triton.__version__}: its interpreter lacks int32 and int8",
        allow_module_level=True,
    )
ON_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if ON_GPU else "cpu")
with pytest.MonkeyPatch.context() as patch:
    if not ON_GPU:
        patch.setenv("TRITON_INTERPRET", "1")  # read when the kernels are made
    from neurorobust.backends.engine.gpu import adjoint, autograd, gemm, lif
    from neurorobust.backends.engine.gpu import engine as gpu_engine

cases = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
MAX = 2**31 - 1
decays = st.sampled_from([0, 1, 4095, 4096]) | st.integers(0, 4096)


def engine(model: NetxModel, gradient: str = "float32", **options: int) -> gpu_engine.GpuEngine:
    return gpu_engine.GpuEngine(model, DEVICE, gradient, **options)


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


def check(model: NetxModel, inputs, clock: str = "aligned") -> Run:
    inputs = Inputs.of(inputs)
    record = recordable(model, inputs)
    wanted = ReferenceBackend(model).run(inputs, record, clock)
    assert_same(engine(model).run(inputs, record, clock), wanted)
    return wanted


def small_network(threshold: int = 80) -> NetxModel:
    """Drive, grouped conv, dense with delays, dense."""
    generator = np.random.default_rng(5)
    kernel = generator.integers(-60, 90, (6, 1, 3, 3))
    weight = generator.integers(-120, 120, (9, 54))
    delay = generator.integers(0, 3, weight.shape)
    return NetxModel(
        (2, 5, 6),
        (
            InputLayer(0, (2, 5, 6), neuron(0, 128, threshold)),
            ConvLayer(1, (6, 3, 3), neuron(500, 100, 40), kernel, None, (2, 2), (1, 1), groups=2),
            FlattenLayer(2, (54, 1, 1)),
            DenseLayer(3, (9, 1, 1), neuron(1024, 200, 50), weight, None, delay),
            DenseLayer(4, (4, 1, 1), neuron(900, 10, 60), generator.integers(-99, 120, (4, 9)) * 2),
        ),
    )


def small_inputs(kind: str, batch: int = 3):
    generator = np.random.default_rng(6)
    if kind == "drive":
        drive = generator.integers(-20, 90, (batch, 2, 5, 6)).astype(np.int32)
        return Inputs.drive(torch.from_numpy(drive), 11)
    spikes = generator.integers(0, 2, (batch, 2, 5, 6, 11)).astype(np.uint8)
    return Inputs.of(torch.from_numpy(spikes))


@st.composite
def layers_of_neurons(draw):
    """Sums, parameters and state: the borders of int32 and of 24 bits, thresholds hit exactly."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    batch, steps = draw(st.integers(1, 3)), draw(st.sampled_from([1, 2, 7]))
    width = draw(st.sampled_from([1, 3, 100, 257]))
    size = draw(st.sampled_from([3, 2000, 1 << 17, 1 << 25, MAX]))
    sums = generator.integers(-size, size, (batch, steps, width), endpoint=True)
    exact = draw(st.sampled_from([None, 1 << 17, -(1 << 17), (1 << 17) + 1, 3 << 17, MAX]))
    if exact is not None:
        sums[:, :: draw(st.integers(1, 3))] = exact
    pairs = [draw(st.tuples(decays, decays)) for _ in range(3)]
    decay = np.array(pairs)[generator.integers(0, 3, width)].T
    bias = generator.choice([-(1 << 15), -7, 0, 5, (1 << 15) - 1], (batch, width))
    theta = generator.choice([-1, 0, 1, 5, 64, 1 << 17, (1 << 17) - 1, 1 << 24], width)
    return sums, decay, theta, bias, draw(st.integers(0, 2)), draw(st.integers(0, 3))


def by_definition(sums, decay, theta, bias, left, right):
    """Spikes, u and v after the step, `[batch, time, width]` each."""
    u = v = np.zeros(sums[:, 0].shape, dtype=np.int64)
    found = []
    for step in range(sums.shape[1]):
        a = (sums[:, step] >> right) << left
        spikes, u, v = lif_step(u, v, a, bias, *decay, theta)
        found.append((spikes, u, v))
    return [np.stack(values, 1) for values in zip(*found, strict=True)]


def cells(decay, theta, bias) -> lif.Cells:
    rows = [4096 - decay[0], 4096 - decay[1], np.clip(theta << 6, -(1 << 23), 1 << 23), bias << 6]
    return lif.Cells(torch.from_numpy(np.stack(rows).astype(np.int32)).to(DEVICE))


def compare_neurons(case) -> None:
    sums, decay, theta, bias, left, right = case
    spikes, u, v = by_definition(*case)
    batch, steps, _ = sums.shape
    padded = np.pad(sums, ((0, 0), (0, 0), (0, 5)), constant_values=99)  # columns that are not read
    given_sums = lif.Sums(torch.from_numpy(padded.astype(np.int32)).to(DEVICE), left, right)
    own = cells(decay, theta, bias[0])
    drive = torch.from_numpy((bias << 6).astype(np.int32)).to(DEVICE)
    keep = lif.Keep(current=True, voltage=True)
    got = lif.integrate(own, given_sums, batch, steps, keep, drive)
    assert np.array_equal(got.spikes.cpu(), spikes)
    assert np.array_equal(got.current.cpu(), u)
    assert np.array_equal(torch.where(got.spikes > 0, 0, got.voltage).cpu(), v)
    assert np.array_equal(got.state.cpu(), np.stack([u[:, -1], v[:, -1]]))
    assert np.all((got.voltage.cpu().numpy() > theta << 6) == spikes)
    half = steps // 2
    if half:  # the same in two goes, with nothing kept in between but the state
        parts = [given_sums.values[:, :half], given_sums.values[:, half:]]
        first, second = (lif.Sums(part.contiguous(), left, right) for part in parts)
        before = lif.integrate(own, first, batch, half, lif.Keep(), drive)
        assert before.voltage is None
        after = lif.integrate(own, second, batch, steps - half, lif.Keep(), drive, before.state)
        assert torch.equal(torch.cat([before.spikes, after.spikes], 1), got.spikes)
        assert torch.equal(after.state, got.state)


@settings(cases, max_examples=40)
@given(case=layers_of_neurons())
def test_neurons_equal_the_definition(case):
    compare_neurons(case)


def test_neurons_reach_the_borders():
    """What the strategy above is for does happen."""
    full = np.full((1, 3, 1), (1 << 25) - 1)
    _, u, v = by_definition(
        full, np.zeros((2, 1), int), np.array([1 << 17]), np.zeros((1, 1)), 0, 0
    )
    assert u[0, 0, 0] > 1 << 23  # wrapped once, and still outside 24 bits
    assert u[0, 1, 0] < 0  # beyond int32
    assert v[0, 0, 0] == (1 << 23) - 1


@pytest.mark.parametrize("sums", [1 << 17, -(1 << 17)])
def test_the_wrap_at_its_border(sums):
    """Both give +2^23."""
    own = cells(np.zeros((2, 1), int), np.array([1 << 17]), np.array([0]))
    given_sums = lif.Sums(torch.full((1, 1, 1), sums, dtype=torch.int32, device=DEVICE))
    got = lif.integrate(own, given_sums, 1, 1, lif.Keep(current=True))
    assert got.current.tolist() == [[[1 << 23]]]


@settings(cases, max_examples=50)
@given(data=st.data())
def test_random_networks(tiny_networks, data):
    model, inputs = data.draw(tiny_networks)
    if recordable(model, inputs):
        check(model, inputs, data.draw(st.sampled_from(["aligned", "global"])))


@settings(cases, max_examples=80)
@given(
    rows=st.sampled_from([0, 1, 16, 17, 40]),
    inputs=st.sampled_from([1, 7, 8, 33]),
    outputs=st.sampled_from([1, 8, 9]),
    values=st.sampled_from(
        [(-256, 254), (-128, 127), (255, 255), (-256, -256), (0, 0), (-3 << 5, 7 << 5), (-MAX, MAX)]
    ),
    step=st.sampled_from([1, 2, 16]),
    seed=st.integers(0, 2**32 - 1),
    int8=st.booleans(),
)
def test_products_are_exact(rows, inputs, outputs, values, step, seed, int8):
    generator = np.random.default_rng(seed)
    weights = generator.integers(*values, (outputs, inputs), endpoint=True) // step * step
    spikes = generator.integers(0, 2, (rows, inputs))
    matrix = gemm.digits(weights, DEVICE)
    with pytest.MonkeyPatch.context() as patch:
        if not int8:
            patch.setattr(gemm, "_has_int8", lambda device: False)
        got = gemm.product(matrix, torch.from_numpy(spikes.astype(np.int8)).to(DEVICE))
    assert got.dtype == torch.int32
    total = (got.cpu().long().numpy() << matrix.exponent)[:, :outputs]
    wanted = spikes @ weights.T
    assert np.array_equal(total.astype(np.int32), wanted.astype(np.int32))  # modulo 2^32


@pytest.mark.parametrize(
    ("weights", "count", "exponent"),
    [
        (np.arange(-256, 256, 2)[None], 1, 1),
        (np.arange(-128, 128)[None], 1, 0),
        (np.arange(-256, 255)[None], 2, 0),
        (np.array([[-256, 0]]), 1, 8),
        (np.array([[1 << 15]]), 1, 15),
        (np.array([[32639, 1]]), 2, 0),
        (np.array([[32640, 1]]), 3, 0),
        (np.zeros((2, 2), int), 1, 0),
    ],
)
def test_digits(weights, count, exponent):
    found = gemm.digits(weights, DEVICE)
    assert (found.count, found.exponent) == (count, exponent)
    assert found.values.dtype == torch.int8
    assert all(size % 16 == 0 for size in found.values.shape)


def test_a_fan_in_beyond_int32_is_refused(monkeypatch):
    monkeypatch.setattr(gemm, "MOST_INPUTS", 60)
    layer = DenseLayer(0, (1, 1, 1), None, np.ones((1, 60), np.int64))
    with pytest.raises(ModelFileError, match=r"layer 0 \(dense\): 60 inputs of a neuron, limit"):
        engine(NetxModel((60, 1, 1), (layer,)))


@pytest.mark.parametrize("delay", [None, 0, 1])
@pytest.mark.parametrize("row", [[-128, -3, -1], [255, 3, 0], [0, -1, -64], [0, -3, -128]])
def test_weights_that_lava_changes(row, delay):
    """The last two keep a shift that drops bits of the sum, of each delay's sum."""
    delays = None if delay is None else np.array([[0, 1, 1 - delay]] * 2)
    weight = np.array([row, row[::-1]])
    model = NetxModel(
        (3, 1, 1), (DenseLayer(0, (2, 1, 1), neuron(100, 50, 3), weight, np.array([9, 0]), delays),)
    )
    spikes = np.random.default_rng(1).integers(0, 2, (4, 3, 1, 1, 9)).astype(np.uint8)
    check(model, torch.from_numpy(spikes))


@pytest.mark.parametrize("axonal", [True, False])
def test_delays_up_to_62(axonal):
    generator = np.random.default_rng(0)
    weight = generator.integers(-20, 20, (5, 7)) * 2
    delay = generator.integers(0, 62, weight.shape, endpoint=True)
    delay[0, :2] = (0, 62)
    if axonal:
        delay[:] = delay[0]
    model = NetxModel(
        (7, 1, 1), (DenseLayer(0, (5, 1, 1), neuron(900, 100, 20), weight, None, delay),)
    )
    assert str(engine(model).layers[0].synapse).startswith("delayed inputs") == axonal
    spikes = torch.from_numpy(generator.integers(0, 2, (2, 7, 1, 1, 70)).astype(np.uint8))
    assert check(model, spikes).spikes.sum() > 0
    check(model, spikes[..., :3])  # most delays are longer than the run


def test_conv_sums_wrap_to_24_bits():
    weight = np.full((3, 34_000, 1, 1), 254)
    weight[1] = -256
    weight[2, ::2] = -256
    layer = ConvLayer(1, (3, 1, 2), neuron(0, 4096, 5000), weight)
    model = NetxModel((34_000, 1, 2), (InputLayer(0, (34_000, 1, 2), None), layer))
    spikes = torch.ones((1, 34_000, 1, 2, 3), dtype=torch.uint8)
    spikes[:, :1000, :, 1, 1] = 0
    first = check(model, spikes).layers[1].u[0, :2, 0]
    assert first.tolist() != [34_000 * 254 << 6] * 2
    assert "wrapped to 24 bits" in str(engine(model))


@pytest.mark.parametrize("kind", ["drive", "spikes"])
def test_results_do_not_depend_on_parts(kind):
    model, inputs = small_network(), small_inputs(kind)
    whole = check(model, inputs)
    rates = [trace.spikes.float().mean() for trace in whole.layers.values()]
    assert all(0 < rate < 1 for rate in rates), rates
    assert_same(engine(model, memory_limit=1).run(inputs, recordable(model, inputs)), whole)


def test_an_empty_batch_gives_empty_results():
    run = engine(small_network()).run(small_inputs("spikes", 0), [1])
    assert run.spikes.shape == (0, 4, 11)
    assert run.membrane.shape == (0, 4)
    assert run.layers[1].u.shape == (0, 54, 11)


def test_patches_in_blocks_agree(monkeypatch):
    model, inputs = small_network(), small_inputs("spikes", 2)
    whole = engine(model).run(inputs, [1])
    monkeypatch.setattr("neurorobust.backends.engine.gpu.conv.PATCH_BYTES", 700)
    assert_same(engine(model).run(inputs, [1]), whole)


beliefs = [Surrogate(shape, width) for shape in surrogates.SHAPES for width in (0.25, 1.0)]


@pytest.mark.parametrize("belief", beliefs, ids=str)
@pytest.mark.parametrize("want_sums", [True, False])
def test_the_adjoint_equals_its_formula(belief, want_sums):
    """In float64, step by step."""
    generator = np.random.default_rng(2)
    batch, steps, width = 3, 7, 101
    decay = generator.choice([0, 1, 700, 4095, 4096], (2, width))
    theta = generator.choice([-64, 0, 64, 6400, 1 << 23], width).astype(float)
    voltage = generator.integers(-(1 << 14), 1 << 14, (batch, steps, width))
    voltage[:, 2] = theta.clip(-(1 << 23) + 1, (1 << 23) - 1)
    gradient = generator.normal(size=(batch, steps, width))
    carried = generator.normal(size=(2, batch, width))
    kept = (4096 - decay) / 4096
    scale = belief.width * np.maximum(theta, 64)
    bell = belief.derivative(torch.from_numpy((voltage - theta) / scale)).numpy() / scale
    along_u, along_v = carried
    wanted, level = np.zeros_like(gradient), np.zeros((batch, width))
    for step in reversed(range(steps)):
        to_v = gradient[:, step] * bell[:, step] + along_v
        to_u = to_v + along_u
        wanted[:, step] = 64 * to_u
        level += 64 * to_v
        along_v, along_u = kept[1] * to_v, kept[0] * to_u

    def on_device(values, dtype=torch.float32):
        return torch.from_numpy(values).to(dtype).to(DEVICE)

    constants = adjoint.constants(
        on_device(kept, torch.float64), on_device(theta, torch.float64), belief
    )
    state = on_device(carried)
    sums, mine = adjoint.adjoint(
        constants, belief, on_device(voltage, torch.int32), on_device(gradient), state, want_sums
    )
    pairs = [(mine, level), (state, np.stack([along_u, along_v]))]
    if want_sums:
        pairs.append((sums, wanted))
    for got, right in pairs:
        assert got.dtype == torch.float32
        assert np.abs(got.cpu().numpy() - right).max() <= 1e-5 * np.abs(right).max()
    assert (sums is None) != want_sums


def gradient_of(target, inputs, mode) -> tuple[torch.Tensor, Run]:
    """Of a random linear loss."""
    inputs = Inputs.of(inputs)
    values = inputs.values.float().requires_grad_()
    run = target.forward(inputs.with_values(values), mode)
    loss_of(run).backward()
    return values.grad, run


def loss_of(run: Run) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    to_spikes = torch.randn(run.spikes.shape, generator=generator)
    to_membrane = torch.randn(run.membrane.shape, generator=generator) / 1000
    return (run.spikes * to_spikes).sum() + (run.membrane * to_membrane).sum()


def assert_close(got: torch.Tensor, wanted: torch.Tensor, tolerance: float = 1e-5) -> None:
    assert got.dtype == wanted.dtype == torch.float32
    assert got.shape == wanted.shape
    assert (wanted != 0).any()
    assert (got - wanted).abs().max() <= tolerance * wanted.abs().max()


def rate_slope(view):
    return 1 / (view.theta + view.mean_input().abs()) * view.spikes.float().mean(1)


MODES = {
    "surrogate": Surrogate("atan", 0.5),
    "scale": BackwardMode(Surrogate("straight-through", 1.0), scale=fired),
    "density": BackwardMode(Surrogate(), scale=lambda view: (-(view.distance() ** 2)).exp()),
    "rate": BackwardMode(rate=rate_slope),
    "averaged": BackwardMode(Surrogate("triangle", 2.0), averaged=True),
    "pdsg": PDSG.backward,
    "bptr": BPTR.backward,
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["drive", "spikes"])
def test_gradients_equal_those_of_the_cpu(kind, mode):
    model, inputs = small_network(), small_inputs(kind)
    wanted, _ = gradient_of(EngineBackend(model), inputs, MODES[mode])
    got, run = gradient_of(engine(model), inputs, MODES[mode])
    assert_close(got, wanted)
    exact = engine(model).run(inputs)
    assert torch.equal(run.spikes, exact.spikes.float())
    assert torch.equal(run.membrane, exact.membrane.float())


def test_gradients_do_not_depend_on_parts(monkeypatch):
    model, inputs = small_network(), small_inputs("drive")
    wanted, _ = gradient_of(engine(model), inputs, Surrogate())
    monkeypatch.setattr(autograd, "KEPT_BYTES", 0)  # every part is run again
    parts = engine(model, memory_limit=2 * gpu_engine.ENTRY_BYTES * 11 * 60)  # of two samples
    again, _ = gradient_of(parts, inputs, Surrogate())
    assert_close(again, wanted)


@settings(cases, max_examples=30)
@given(data=st.data())
def test_gradients_of_random_networks(tiny_networks, recurrent_networks, data):
    model, inputs = data.draw(tiny_networks | recurrent_networks)
    if not recordable(model, inputs):
        return
    belief = data.draw(st.sampled_from(beliefs))
    wanted, _ = gradient_of(EngineBackend(model), inputs, belief)
    got, _ = gradient_of(engine(model), inputs, belief)
    assert (got - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@settings(cases, max_examples=40)
@given(data=st.data())
def test_recurrent_networks(recurrent_networks, data):
    model, inputs = data.draw(recurrent_networks)
    if recordable(model, inputs):
        check(model, inputs, data.draw(st.sampled_from(["aligned", "global"])))


class Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, v, theta, surrogate):
        ctx.save_for_backward(v)
        ctx.theta, ctx.surrogate = theta, surrogate
        return (v > theta).to(v.dtype)

    @staticmethod
    def backward(ctx, gradient):
        (v,) = ctx.saved_tensors
        scale = ctx.surrogate.width * max(ctx.theta, 64)
        return gradient * ctx.surrogate.derivative((v - ctx.theta) / scale) / scale, None, None


def recurrent_twin(layer: RecurrentLayer, inputs: torch.Tensor, belief) -> Run:
    """One recurrent layer on float64 tensors, step by step; torch differentiates it."""

    def exact(value, smooth):
        return smooth + (value - smooth).detach()

    packed = pack_recurrent_weights(layer.weight, layer.weight_rec)
    forward, back = (torch.from_numpy(part.weights).double() / 2**part.shift for part in packed)
    kept_u, kept_v = (
        1 - int(decay.item()) / 4096
        for decay in (layer.neuron.current_decay, layer.neuron.voltage_decay)
    )
    theta = float(int(layer.neuron.threshold.item()) << 6)
    u = v = fed_back = torch.zeros(len(inputs), len(back)).double()
    spikes = []
    for frame in inputs[:, :, 0, 0].unbind(-1):
        sums = [frame @ forward.T, fed_back @ back.T]
        a = sum(exact(part.floor(), part) for part in sums)
        u = exact((u * kept_u).trunc(), u * kept_u) + 64 * a
        v = exact((v * kept_v).trunc(), v * kept_v) + u
        fed_back = Spike.apply(v, theta, belief)
        spikes.append(fed_back)
        membrane = torch.where(fed_back > 0, 0.0, v)
        v = exact(membrane, v)
    return Run(torch.stack(spikes, -1), membrane, {})


@pytest.mark.parametrize("belief", beliefs[::2], ids=str)
def test_gradients_flow_through_feedback(belief):
    generator = np.random.default_rng(7)
    layer = RecurrentLayer(
        0,
        (9, 1, 1),
        neuron(700, 150, 150),
        generator.integers(-60, 90, (9, 12)) * 2,
        generator.integers(-90, 90, (9, 9)) * 2,
    )
    model = NetxModel((12, 1, 1), (layer,))
    spikes = torch.from_numpy(generator.integers(0, 2, (3, 12, 1, 1, 8)).astype(np.uint8))
    rates = check(model, spikes).spikes.float().mean()
    assert 0.1 < rates < 0.9
    got, run = gradient_of(engine(model), spikes, belief)
    values = spikes.double().requires_grad_()
    twin = recurrent_twin(layer, values, belief)
    assert torch.equal(twin.spikes.float(), run.spikes)
    assert torch.equal(twin.membrane.float(), run.membrane)
    loss_of(twin).backward()
    assert_close(got, values.grad.float())


def test_bfloat16_gradients_point_the_same_way():
    model, inputs = small_network(), small_inputs("drive")
    wanted, _ = gradient_of(engine(model), inputs, Surrogate())
    got, _ = gradient_of(engine(model, "bfloat16"), inputs, Surrogate())
    assert not torch.equal(got, wanted)
    assert torch.nn.functional.cosine_similarity(got.flatten(), wanted.flatten(), 0) > 0.9999


def test_a_hook_of_the_wrong_shape_is_refused():
    mode = BackwardMode(Surrogate(), scale=lambda view: torch.ones(3))
    with pytest.raises(BadInput, match=r"backward mode: scale of layer 4 has shape \(3,\)"):
        gradient_of(engine(small_network()), small_inputs("drive"), mode)


def test_tf32_is_switched_off_and_put_back():
    switch = torch.backends.cuda.matmul
    name, low, exact = ("fp32_precision", "tf32", "ieee")
    if not hasattr(switch, name):
        name, low, exact = "allow_tf32", True, False
    before = getattr(switch, name)
    try:
        setattr(switch, name, low)
        with gemm.full_float32():
            assert getattr(switch, name) == exact
        assert getattr(switch, name) == low
    finally:
        setattr(switch, name, before)


def test_it_says_what_it_computes():
    lines = str(engine(small_network())).splitlines()
    assert lines[0] == f"engine on {DEVICE}: sums int8 -> int32, u and v int32"
    assert "layer 0 (input) (2, 5, 6): driven" in lines
    assert any("18 inputs, 1 int8 digit times 2^0, a digit's sum at most" in line for line in lines)


@pytest.mark.skipif(ON_GPU, reason="there is a CUDA device")
def test_without_a_gpu_it_is_refused():
    with pytest.raises(UnavailableError, match="engine: device cuda: torch finds no CUDA device"):
        devices.open_device(small_network(), "cuda")


@pytest.mark.skipif(not ON_GPU, reason="needs a CUDA device")
def test_a_gpu_too_many_is_refused():
    with pytest.raises(UnavailableError, match=r"engine: device cuda:64: torch finds \d+ CUDA"):
        devices.open_device(small_network(), "cuda:64")


def test_devices_by_name():
    assert devices.open_device(small_network(), "cpu") is None
    with pytest.raises(BadInput, match="engine: device 'cuda:x' unknown, known: cpu, cuda, cuda:N"):
        devices.open_device(small_network(), "cuda:x")


def test_a_missing_or_old_triton_is_refused(monkeypatch):
    devices.check_triton()
    monkeypatch.setattr(triton, "__version__", "2.3.1")
    with pytest.raises(UnavailableError, match=r"needs triton 3\.2, found 2\.3\.1"):
        devices.check_triton()
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(UnavailableError, match="device cuda needs triton: pip install triton"):
        devices.check_triton()


@pytest.fixture
def cuda(monkeypatch) -> str:
    """A device that `EngineBackend` takes for a GPU; there is nothing but `GpuEngine` behind it."""
    if not ON_GPU:
        monkeypatch.setattr(
            "neurorobust.backends.engine.backend.open_device",
            lambda model, device, *rest: gpu_engine.GpuEngine(model, DEVICE, *rest),
        )
    return "cuda"


@pytest.mark.parametrize("kind", ["drive", "spikes"])
def test_the_backend_asks_the_device(kind, cuda):
    model, inputs = small_network(), small_inputs(kind, 2)
    record = recordable(model, inputs)
    backend = EngineBackend(model, cuda)
    for clock in ("aligned", "global"):
        assert_same(backend.run(inputs, record, clock), engine(model).run(inputs, record, clock))
    got, _ = gradient_of(backend, inputs, Surrogate())
    assert torch.equal(got, gradient_of(engine(model), inputs, Surrogate())[0])
    if kind == "spikes":
        with pytest.raises(BadInput, match="value 2 is neither 0 nor 1"):
            backend.run(inputs.values * 2)
    assert str(backend) == str(engine(model))
    with pytest.raises(BadInput, match=r"engine: no streams on \w+(:0)?, they run on cpu"):
        backend.stream()
    with pytest.raises(BadInput, match="engine: path 'float32' with device cuda, paths are fo"):
        EngineBackend(model, cuda, path="float32")


@pytest.mark.skipif(not ON_GPU, reason="needs a CUDA device")
@pytest.mark.parametrize("kind", ["drive", "spikes"])
def test_the_backend_on_a_gpu(kind):
    model, inputs = small_network(), small_inputs(kind)
    record = recordable(model, inputs)
    on_gpu = EngineBackend(model, "cuda")
    got, wanted = on_gpu.run(inputs, record), EngineBackend(model).run(inputs, record)
    assert_same(got, wanted)
    assert got.spikes.device.type == "cpu"
    moved = inputs.with_values(inputs.values.cuda())
    assert on_gpu.run(moved).spikes.device.type == "cuda"


def compiling() -> str:
    return """
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile
    from neurorobust.backends.engine.gpu import adjoint, lif

    def build(kernel, types, arch, **constants):
        names = kernel.arg_names
        types = {name: types.get(name, "i32") for name in names}
        types |= dict.fromkeys(constants, "constexpr")
        values = {(names.index(name),): value for name, value in constants.items()}
        source = ASTSource(kernel, {name: types[name] for name in names}, values)
        target = GPUTarget("cuda", arch, 32)
        made = compile(source, target=target, options={"enable_fp_fusion": False})
        assert len(made.asm["cubin"]) > 1000
        return made.asm["ptx"]

    INT = dict.fromkeys(
        ("sums", "parameters", "drive", "before", "state", "current", "voltage"), "*i32"
    ) | {"spikes": "*i8"}
    FLOAT = dict.fromkeys(
        ("spike_gradient", "sums", "level", "carried", "constants"), "*fp32"
    ) | {"voltage": "*i32"}
    NAMES = ("SUMMED", "DRIVEN", "CARRIED", "KEEP_CURRENT", "KEEP_VOLTAGE")
    for arch in (80, 90):
        for flags in ((1, 0, 0, 0, 0), (1, 0, 1, 1, 1), (0, 1, 0, 0, 1)):
            for ones in ({}, {"steps": 1, "width": 1, "row": 1, "entries": 1}):
                flag = dict(zip(NAMES, map(bool, flags)))
                more = {**flag, **ones, "BLOCK": 256}
                ptx = build(lif._integrate, INT, arch, LEFT=1, RIGHT=0, **more)
                assert ".f32" not in ptx and ".f64" not in ptx
        for shape in range(4):
            build(adjoint._adjoint, FLOAT, arch, SHAPE=shape, WANT_SUMS=True, BLOCK=256)
    print("compiled")
    """


def test_kernels_compile_for_gpus_that_are_not_here(tmp_path):
    """Down to machine code: triton brings its own assembler."""
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    environment.pop("TRITON_INTERPRET", None)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(compiling())],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.endswith("compiled\n")


def test_the_cpu_engine_does_without_triton():
    code = """
    import sys
    sys.modules["triton"] = None
    import torch, numpy as np
    from neurorobust.backends.engine import EngineBackend
    from neurorobust.netx.model import DenseLayer, NetxModel
    model = NetxModel((2, 1, 1), (DenseLayer(0, (1, 1, 1), None, np.array([[3, -1]])),))
    run = EngineBackend(model).run(torch.ones((1, 2, 1, 1, 2), dtype=torch.uint8))
    print(run.membrane.tolist())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == "[[256]]\n"


def benchmark():
    """`benchmarks/gpu.py` as a module."""
    folder = Path(__file__).resolve().parents[2] / "benchmarks"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        return importlib.import_module("gpu")


def test_the_benchmark_measures():
    """Its figures mean nothing here; that its cases are identical does."""
    script = benchmark()
    model, _ = script.dense_network(script.QUICK_SIZES, 4)
    options = argparse.Namespace(steps=4, quick=True, turns=1)
    engines = engine(model), engine(script.mixed_network())
    found = script.measure(*engines, model, script.QUICK_SIZES, 4, options)
    assert len(found["identical"]) == 4
    assert all(found["identical"].values())
    assert found["ratios"].keys() == {"product_of_square", "neurons_of_copy", "run_of_cpu"}


@pytest.mark.skipif(ON_GPU, reason="there is a CUDA device")
def test_the_benchmark_says_that_there_is_no_gpu():
    with pytest.raises(SystemExit, match="gpu: nothing to measure: engine: device cuda"):
        benchmark().main(["--quick"])


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(cases, max_examples=1000)
@given(data=st.data())
def test_many_random_networks(tiny_networks, recurrent_networks, data):
    model, inputs = data.draw(tiny_networks | recurrent_networks)
    if recordable(model, inputs):
        check(model, inputs, data.draw(st.sampled_from(["aligned", "global"])))


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(cases, max_examples=600)
@given(case=layers_of_neurons())
def test_many_neurons_equal_the_definition(case):
    compare_neurons(case)
