"""Every backward mode against a twin in float64, written out with loops over steps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from neurorobust.attacks.modes import MODES, AdaptiveSharpness, find_mode
from neurorobust.attacks.modes.base import Constant
from neurorobust.attacks.modes.potential import spread
from neurorobust.attacks.modes.rotation import Rotation
from neurorobust.backends.engine import EngineBackend, batch_parts
from neurorobust.errors import BadInput
from neurorobust.fixedpoint import lif_step
from neurorobust.netx.model import (
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    NetxModel,
    Neuron,
)
from neurorobust.surrogates import BackwardMode, Surrogate
from neurorobust.types import Inputs

STEPS, BATCH = 9, 5


def cell(threshold: int = 300) -> Neuron:
    return Neuron(np.array(1024), np.array(200), np.array(threshold))


def network() -> NetxModel:
    """Spikes into a convolution of two channels of 3x2, then 4 dense neurons."""
    generator = np.random.default_rng(3)
    conv = ConvLayer(
        1,
        (2, 3, 2),
        cell(150),
        generator.integers(-40, 90, (2, 2, 2, 2)),
        np.array([10, -5]),
        (1, 1),
        (0, 0),
    )
    dense = DenseLayer(3, (4, 1, 1), cell(), generator.integers(-60, 90, (4, 12)) * 2)
    first = InputLayer(0, (2, 4, 3), None)
    return NetxModel((2, 4, 3), (first, conv, FlattenLayer(2, (12, 1, 1)), dense))


def spikes(seed: int = 4) -> Tensor:
    drawn = np.random.default_rng(seed).random((BATCH, 2, 4, 3, STEPS)) < 0.5
    return torch.from_numpy(drawn.astype(np.uint8))


class Layer:
    """What the twin knows of a layer: a matrix [out, in] in C, H, W order, and its trace."""

    def __init__(self, layer, matrix, signal):
        bias = np.zeros(1, dtype=np.int64) if layer.bias is None else layer.bias
        places = matrix.shape[0] // layer.shape[0]
        self.bias = np.repeat(np.broadcast_to(bias, (layer.shape[0],)), places)
        self.matrix, self.theta = matrix, 64.0 * float(layer.neuron.threshold)
        self.channels, self.places = layer.shape[0], places
        self.kept_u = (4096 - int(layer.neuron.current_decay)) / 4096
        self.kept_v = (4096 - int(layer.neuron.voltage_decay)) / 4096
        u = v = np.zeros((len(signal), len(matrix)), dtype=np.int64)
        traces = ([], [], [])
        for step in range(signal.shape[-1]):
            decayed = np.sign(v) * (np.abs(v) * int(self.kept_v * 4096) >> 12)
            fired, u, after = lif_step(
                u,
                v,
                signal[..., step] @ matrix.T,
                self.bias,
                layer.neuron.current_decay,
                layer.neuron.voltage_decay,
                layer.neuron.threshold,
            )
            v = after
            before = decayed + u + 64 * self.bias
            for trace, values in zip(traces, (u, before, fired), strict=True):
                trace.append(values)
        self.u, self.v, self.spikes = (np.stack(t, -1).astype(float) for t in traces)
        self.after = after


def matrix_of(layer: ConvLayer, source) -> np.ndarray:
    """A convolution as a matrix, from what it does to unit vectors."""
    size = math.prod(source)
    units = torch.eye(size, dtype=torch.float64).view(size, *source)
    weight = torch.tensor(layer.weight).double()
    return torch.nn.functional.conv2d(units, weight).flatten(1).numpy().T.astype(np.int64)


def traced(model: NetxModel, x: Tensor) -> list[Layer]:
    _, conv, _, dense = model.layers
    signal = x.flatten(1, 3).numpy().astype(np.int64)
    first = Layer(conv, matrix_of(conv, model.input_shape), signal)
    return [first, Layer(dense, dense.weight, first.spikes.astype(np.int64))]


def loss_gradient() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(BATCH, 4, STEPS))


def engine_gradient(mode: BackwardMode | Surrogate, x: Tensor, membrane: bool = False) -> Tensor:
    leaf = x.float().requires_grad_()
    run = EngineBackend(network()).forward(leaf, mode)
    if membrane:
        (run.membrane * torch.from_numpy(loss_gradient()[..., 0]).float()).sum().backward()
    else:
        (run.spikes * torch.from_numpy(loss_gradient()).float()).sum().backward()
    assert leaf.grad is not None
    return leaf.grad


def assert_close(mine: Tensor, theirs: np.ndarray) -> None:
    wanted = torch.from_numpy(theirs).reshape(mine.shape)
    assert wanted.abs().max() > 0
    assert (mine - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def through_time(layer: Layer, to_spikes: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Back through the leaks; the gradient of the layer's source."""
    along_u = along_v = np.zeros(to_spikes.shape[:2])
    sums = np.zeros_like(to_spikes)
    for step in reversed(range(to_spikes.shape[-1])):
        to_v = to_spikes[..., step] * slope[..., step] + along_v
        to_u = to_v + along_u
        sums[..., step] = 64 * to_u
        along_v, along_u = layer.kept_v * to_v, layer.kept_u * to_u
    return np.einsum("bot,oi->bit", sums, layer.matrix)


def stepwise(layers: list[Layer], slopes: list[np.ndarray]) -> np.ndarray:
    gradient = loss_gradient()
    for layer, slope in zip(reversed(layers), reversed(slopes), strict=True):
        gradient = through_time(layer, gradient, slope)
    return gradient


def distance(layer: Layer) -> np.ndarray:
    return (layer.v - layer.theta) / layer.theta


@pytest.mark.parametrize("vanishing", [0.35, 0.425, 0.465])
def test_assg_over_three_gradients(vanishing):
    """The averages start at 1 and 0 and follow the potentials from one gradient to the next."""
    state = find_mode(f"assg-{vanishing:g}").start()
    mean, deviation = [1.0, 1.0], [0.0, 0.0]
    for seed in (4, 5, 6):
        layers, slopes = traced(network(), spikes(seed)), []
        for number, layer in enumerate(layers):
            size = np.abs(distance(layer))
            mean[number] = 0.9 * mean[number] + 0.1 * size
            deviation[number] = 0.9 * deviation[number] + 0.1 * np.abs(size - mean[number])
            sharp = 2 * math.tan(math.pi * vanishing) / math.pi
            alpha = sharp / (mean[number] + 1.5 * deviation[number] + 1e-4)
            bell = alpha / 2 / (1 + (math.pi * alpha * size / 2) ** 2)
            slopes.append(bell / layer.theta)
        state.begin(0)
        assert_close(engine_gradient(state.backward, spikes(seed)), stepwise(layers, slopes))


def test_pdsg_is_a_normal_density_as_wide_as_the_potentials():
    layers, slopes = traced(network(), spikes()), []
    for layer in layers:
        x, slope = distance(layer), np.zeros_like(layer.v)
        groups = layer.channels if layer.places > 1 else 1
        split = x.reshape(BATCH, groups, -1, STEPS)
        for group in range(groups):
            for step in range(STEPS):
                sigma = split[:, group, :, : step + 1].std(ddof=1)
                here = split[:, group, :, step]
                bell = np.exp(-(((here - sigma / 2) / sigma) ** 2) / 2)
                whole = slope.reshape(split.shape)
                whole[:, group, :, step] = bell / (sigma * math.sqrt(2 * math.pi))
        slopes.append(slope / layer.theta)
    assert_close(engine_gradient(find_mode("pdsg").backward, spikes()), stepwise(layers, slopes))


def test_pdsg_of_equal_potentials_has_width_one():
    """Driven alike, all neurons of the layer are alike at the first step."""
    layer = InputLayer(0, (1, 1, 1), cell(50))
    view_of = []

    def keep(view):
        view_of.append(view)
        return torch.ones(1)

    drive = Inputs.drive(torch.full((3, 1, 1, 1), 10.0, requires_grad=True), 1)
    run = EngineBackend(NetxModel((1, 1, 1), (layer,))).forward(drive, BackwardMode(scale=keep))
    run.spikes.sum().backward()
    assert spread(view_of[0]).tolist() == [[[1.0]]]


def gain(kept: float) -> float:
    """Mean over the steps of a current that 1 is added to at every step."""
    u, total = 0.0, 0.0
    for _ in range(STEPS):
        u = kept * u + 1
        total += u
    return total / STEPS


def by_rates(layers: list[Layer], slope_of) -> np.ndarray:
    gradient = loss_gradient()
    for layer in reversed(layers):
        to_sums = gradient.sum(-1) * slope_of(layer) * 64 * gain(layer.kept_u) / STEPS
        gradient = np.repeat((to_sums @ layer.matrix)[..., None], STEPS, -1)
    return gradient


def test_rga_goes_by_the_mean_input():
    kinds = set()

    def slope_of(layer: Layer) -> np.ndarray:
        x = (layer.u.mean(-1) + 64 * layer.bias) / layer.theta
        first = 1 - layer.kept_v
        low, high = (x >= 0) & (x < first), (x >= first) & (x <= 2)
        steep = (1 - 0.2 * first) / (2 - first)
        kinds.update(np.select([low, high], ["low", "high"], "none").ravel())
        return (0.2 * low + steep * high) / layer.theta

    wanted = by_rates(traced(network(), spikes()), slope_of)
    assert kinds == {"low", "high", "none"}
    assert_close(engine_gradient(find_mode("rga").backward, spikes()), wanted)


def test_bptr_masks_what_never_fired():
    silent = []

    def slope_of(layer: Layer) -> np.ndarray:
        fired = layer.spikes.max(-1)
        silent.append((fired == 0).any())
        return fired / layer.theta

    sparse = spikes() * (spikes(9) * spikes(8))
    wanted = by_rates(traced(network(), sparse), slope_of)
    assert any(silent)
    assert_close(engine_gradient(find_mode("bptr").backward, sparse), wanted)


def test_bptr_leaky_keeps_time():
    layers = traced(network(), spikes())
    slopes = [
        np.broadcast_to(layer.spikes.max(-1, keepdims=True) / layer.theta, layer.v.shape)
        for layer in layers
    ]
    mine = engine_gradient(find_mode("bptr-leaky").backward, spikes())
    assert_close(mine, stepwise(layers, slopes))


@pytest.mark.parametrize("width", [0.25, 0.5, 1.0, 2.0])
def test_hart_averages_over_time_and_forgets(width):
    layers, gradient = traced(network(), spikes()), loss_gradient()
    for layer in reversed(layers):
        bell = np.maximum(0, 1 - np.abs(distance(layer)) / width) / (width * layer.theta)
        to_sums = 64 * (gradient * bell).mean(-1)
        gradient = np.repeat((to_sums @ layer.matrix)[..., None], STEPS, -1)
    mine = engine_gradient(find_mode(f"hart-{width:g}").backward, spikes())
    assert_close(mine, gradient)


@pytest.mark.parametrize("name", ["rga", "bptr", "hart-1"])
def test_a_membrane_passes_back_the_mean_of_its_leaks(name):
    mode = find_mode(name).backward
    first, last = traced(network(), spikes())
    silent = 1 - last.spikes[..., -1]
    along_u, along_v = np.zeros_like(silent), loss_gradient()[..., 0] * silent
    total = np.zeros_like(silent)
    for _ in range(STEPS):
        total += 64 * (along_v + along_u)
        along_u = last.kept_u * (along_v + along_u)
        along_v = last.kept_v * along_v
    to_first = np.repeat((total / STEPS @ last.matrix)[..., None], STEPS, -1)
    if name == "hart-1":
        bell = np.maximum(0, 1 - np.abs(distance(first))) / first.theta
        to_sums = 64 * (to_first * bell).mean(-1)
    else:
        slope = first.spikes.max(-1) / first.theta
        if name == "rga":
            x, border = (first.u.mean(-1) + 64 * first.bias) / first.theta, 1 - first.kept_v
            steep = (1 - 0.2 * border) / (2 - border)
            slope = np.where(x < border, 0.2, steep) * (x >= 0) * (x <= 2) / first.theta
        to_sums = to_first.sum(-1) * slope * 64 * gain(first.kept_u) / STEPS
    wanted = np.repeat((to_sums @ first.matrix)[..., None], STEPS, -1)
    assert_close(engine_gradient(mode, spikes(), membrane=True), wanted)


SHAPES = {
    "fast-sigmoid": lambda x: 1 / (1 + abs(x)) ** 2,
    "triangle": lambda x: np.maximum(0, 1 - abs(x)),
    "atan": lambda x: 1 / (1 + (math.pi * x / 2) ** 2),
    "straight-through": lambda x: np.ones_like(x),
    "sigmoid": lambda x: 4 * (y := 1 / (1 + np.exp(-4 * x))) * (1 - y),
    "gaussian": lambda x: np.exp(-math.pi * x * x),
    "rectangle": lambda x: 1.0 * (abs(x) < 0.5),
}
FIXED = [
    name
    for name, mode in MODES.items()
    if isinstance(mode, Constant) and isinstance(mode.backward, Surrogate)
]


@pytest.mark.parametrize("name", FIXED)
def test_fixed_surrogates(name):
    shape, width = name.rsplit("-", 1)
    layers = traced(network(), spikes())
    slopes = [
        SHAPES[shape](distance(layer) / float(width)) / (float(width) * layer.theta)
        for layer in layers
    ]
    mine = engine_gradient(find_mode(name).backward, spikes())
    assert_close(mine, stepwise(layers, slopes))


@pytest.mark.parametrize("shape", ["triangle", "sigmoid", "gaussian", "rectangle"])
def test_the_area_of_a_shape_is_one(shape):
    x = torch.linspace(-20, 20, 400_001, dtype=torch.float64)
    area = float(torch.trapezoid(Surrogate(shape, 1.0).derivative(x), x))
    assert area == pytest.approx(1, abs=1e-4)


def test_every_mode_is_tested_here():
    tested = {*FIXED, "pdsg", "rga", "bptr", "bptr-leaky", "rotation"}
    tested |= {f"hart-{width:g}" for width in (0.25, 0.5, 1, 2)}
    tested |= {f"assg-{vanishing:g}" for vanishing in (0.35, 0.425, 0.465)}
    assert tested == set(MODES)
    assert all(name == mode.name for name, mode in MODES.items())


def test_parts_of_a_batch_keep_their_own_averages(monkeypatch):
    def gradients() -> list[Tensor]:
        state = find_mode("assg-0.425").start()
        found = []
        for seed in (4, 5):
            state.begin(0)
            found.append(engine_gradient(state.backward, spikes(seed)))
        return found

    whole = gradients()
    monkeypatch.setattr(batch_parts, "PART_ENTRIES", 1)
    for mine, theirs in zip(gradients(), whole, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-5, atol=1e-6 * float(theirs.abs().max()))


def test_only_the_first_draw_updates_the_averages():
    def second(draws: list[int]) -> Tensor:
        state = find_mode("assg-0.35").start()
        for draw in draws:
            state.begin(draw)
            engine_gradient(state.backward, spikes(5))
        state.begin(1)
        return engine_gradient(state.backward, spikes(4))

    assert torch.equal(second([0]), second([0, 1, 2]))
    assert not torch.equal(second([0]), second([0, 0]))


@pytest.mark.parametrize("entries", [1, 1 << 22])
def test_a_batch_that_shrinks_takes_its_averages_along(monkeypatch, entries):
    monkeypatch.setattr(batch_parts, "PART_ENTRIES", entries)
    rows = torch.tensor([4, 1, 2])
    engine = EngineBackend(network())

    def one(state, x: Tensor) -> Tensor:
        state.begin(0)
        leaf = x.float().requires_grad_()
        engine.forward(leaf, state.backward).spikes.sum().backward()
        return leaf.grad

    left, right = AdaptiveSharpness().start(), AdaptiveSharpness().start()
    for state in (left, right):
        one(state, spikes(4))
    right.keep(rows)
    for seed in (5, 6):
        wanted = one(left, spikes(seed))[rows]
        mine = one(right, spikes(seed)[rows])
        assert torch.allclose(mine, wanted, rtol=1e-5, atol=1e-6 * float(wanted.abs().max()))
    right.keep(torch.tensor([2, 0]))
    right.keep(torch.tensor([1]))
    mine, wanted = one(right, spikes(7)[4:5]), one(left, spikes(7))[4:5]
    assert torch.allclose(mine, wanted, rtol=1e-5, atol=1e-6 * float(wanted.abs().max()))
    fresh = one(AdaptiveSharpness().start(), spikes(7)[4:5])
    assert not torch.allclose(mine, fresh, rtol=1e-3)


def test_samples_that_vanish_unannounced_are_refused():
    state = AdaptiveSharpness().start()
    engine_gradient(state.backward, spikes())
    engine = EngineBackend(network())
    leaf = spikes()[:2].float().requires_grad_()
    run = engine.forward(leaf, state.backward)
    with pytest.raises(BadInput, match=r"assg: layer 3 has .* name the rows that stay with keep"):
        run.spikes.sum().backward()


def test_a_rotation_takes_its_modes_in_turn():
    modes = (find_mode("triangle-1"), find_mode("assg-0.35"))
    rotation = Rotation("both", modes).start()
    alone = modes[1].start()
    for turn in range(4):
        for draw in (0, 1):  # draws of one gradient share a mode
            rotation.begin(draw)
            mine = engine_gradient(rotation.backward, spikes(turn))
            if turn % 2:
                alone.begin(draw)
            wanted = alone.backward if turn % 2 else modes[0].backward
            assert torch.equal(mine, engine_gradient(wanted, spikes(turn)))
    rotation.keep(torch.tensor([0]))
    with pytest.raises(BadInput, match="no modes"):
        Rotation("none", ())


@pytest.mark.parametrize("value", [0.0, 0.5, -1.0])
def test_a_share_out_of_range_is_refused(value):
    with pytest.raises(BadInput, match=r"assg: A .* outside \(0, 0.5\)"):
        AdaptiveSharpness(value)


def test_a_rate_cannot_be_averaged():
    with pytest.raises(BadInput, match="rate and averaged given"):
        BackwardMode(rate=lambda view: view.theta, averaged=True)
