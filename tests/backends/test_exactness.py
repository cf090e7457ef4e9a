"""Engine and reference against Lava's own models, on networks that live at the rules' borders.

Counted: each test says how many cases it ran and how often they met what they are made for.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from neurorobust.backends.base import ALIGNED, GLOBAL
from neurorobust.backends.engine import EngineBackend, loops, memory
from neurorobust.backends.engine.arithmetic import AUTO, PATHS
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.errors import BadInput
from neurorobust.fixedpoint import pack_dense_weights
from neurorobust.netx.model import (
    ConvLayer,
    DenseLayer,
    InputLayer,
    Layer,
    NetxModel,
    Neuron,
    RecurrentLayer,
)
from neurorobust.types import Inputs, LayerTrace, Run

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

TOP = 1 << 23
MANY = (33, 40, 70)  # more neurons than are computed as one vector
QUIRKY = (  # what a synapse clips, truncates, clears or rounds down
    range(-256, 255),
    (-128, -2, 64),
    (-128, -64, -1),
    (-256, -2, 0),
    (-255, -3, -1),
    (-128, -3, 0),
    (-200, -1, 0),
    (255, 1, 0),
    (-3, -2, -1, 0, 1, 2, 3),
)


@dataclass(frozen=True)
class Case:
    """A network with inputs; `words` say enough to draw it again."""

    words: str
    model: NetxModel
    inputs: Inputs
    clock: str = ALIGNED

    def __repr__(self) -> str:
        layers = ", ".join(f"{layer.kind} {layer.shape}" for layer in self.model.layers)
        size = tuple(getattr(self.inputs, "shape", (len(self.inputs),)))
        return f"<{self.words}: {layers}; inputs {size}, {self.clock} clock>"


# ---- the networks


def decays(rng: np.random.Generator, count: int) -> Any:
    """Mostly the ends; one for the layer or one a channel."""
    ends = rng.choice([0, 1, 4095, 4096], count)
    values = np.where(rng.random(count) < 0.8, ends, rng.integers(0, 4097, count))
    return values if rng.random() < 0.5 else values[0]


def cell(rng: np.random.Generator, channels: int, thresholds: Any) -> Neuron:
    threshold = rng.choice(np.array(thresholds), channels)
    one = rng.random() < 0.5
    shared = threshold[0] if one else threshold
    return Neuron(*map(np.array, (decays(rng, channels), decays(rng, channels), shared)))


def biases(rng: np.random.Generator, count: int) -> Any:
    """None, a few units, or beyond 13 and 16 bits."""
    kind = rng.integers(4)
    if kind == 0:
        return None
    small = rng.integers(-4, 6, count)
    large = rng.choice([-40000, -32769, -32768, 4095, 32767, 32768, 40000, 65536, 65539], count)
    return small if kind < 3 else np.where(rng.random(count) < 0.6, large, small)


def few_or_many(rng: np.random.Generator, few: tuple[int, int], count: int) -> list[int]:
    """Numbers of neurons: a handful, or more than a vector holds."""
    many = rng.random(count) < 0.4
    return np.where(many, rng.choice(MANY, count), rng.integers(*few, count)).tolist()


def quirky(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    values = np.array(QUIRKY[rng.integers(len(QUIRKY))])
    weight = rng.choice(values, shape)
    if not weight.any():
        weight.flat[0] = values[0]
    return weight


def dense(number: int, weight: Any, neuron: Neuron | None, **fields: Any) -> DenseLayer:
    return DenseLayer(number, (len(weight), 1, 1), neuron, weight, **fields)


def narrow(rng: np.random.Generator) -> list[Layer]:
    """Few inputs, weights and thresholds of a few units: thresholds are met exactly."""
    widths = few_or_many(rng, (1, 6), int(rng.integers(2, 5)))
    layers: list[Layer] = []
    for number, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        weight = quirky(rng, (outputs, inputs))
        if rng.random() < 0.6:
            weight = rng.integers(-2, 4, (outputs, inputs))
            weight.flat[0] = 2
        neuron = cell(rng, outputs, range(7))
        layers.append(dense(number, weight, neuron, bias=biases(rng, outputs)))
    return layers


def wide(rng: np.random.Generator) -> list[Layer]:
    """Rows of one sign and so many inputs that u wraps and drifts out, and v saturates."""
    inputs, (outputs,) = int(rng.choice([516, 1100, 1100, 2600])), few_or_many(rng, (1, 4), 1)
    sizes = rng.integers(255 - rng.choice([1, 40, 250]), 254, (outputs, inputs), endpoint=True)
    weight = sizes * rng.choice([-1, 1], (outputs, 1))
    neuron = cell(rng, outputs, [0, 1000, (1 << 17) - 1, 1 << 17, (1 << 17) + 1])
    if rng.random() < 0.5:  # u keeps what it has
        neuron = Neuron(np.array(rng.integers(2)), neuron.voltage_decay, neuron.threshold)
    layers: list[Layer] = [dense(0, weight, neuron, bias=biases(rng, outputs))]
    if rng.random() < 0.4:
        delay = rng.integers(0, 3, weight.shape)
        layers = [dense(0, weight, neuron, bias=layers[0].bias, delay=delay)]
    if rng.random() < 0.5:
        layers.append(dense(1, quirky(rng, (3, outputs)), cell(rng, 3, range(7))))
    return layers


def border(rng: np.random.Generator) -> list[Layer]:
    """1024 inputs of 128 and one of a few units: u comes to ±2^23, or a unit beside it."""
    (outputs,) = few_or_many(rng, (2, 5), 1)
    sign = rng.choice([-1, 1], (outputs, 1))
    sign[0] = 1  # a positive weight keeps Lava from losing any
    weight = np.concatenate([np.full((outputs, 1024), 128) * sign, np.zeros_like(sign)], axis=1)
    weight[:, -1] = rng.choice([-1, 0, 0, 1], outputs)
    neuron = cell(rng, outputs, [1, (1 << 17) - 1, 1 << 17])
    return [dense(0, weight, neuron, bias=biases(rng, outputs))]


def delayed(rng: np.random.Generator) -> list[Layer]:
    """One or two layers with delays up to 62."""
    widths = few_or_many(rng, (1, 5), 3)
    layers: list[Layer] = []
    for number in range(rng.integers(1, 3)):
        shape = (widths[number + 1], widths[number])
        delay = rng.choice([0, 1, 2, 61, 62], shape)
        if rng.random() < 0.5:
            delay[:] = delay[:, :1]  # one an output, as SLAYER exports axonal delays
        neuron = None if number and rng.random() < 0.3 else cell(rng, shape[0], range(7))
        fields = {"bias": biases(rng, shape[0]), "delay": delay}
        layers.append(dense(number, quirky(rng, shape), neuron, **fields))
    return layers


def broad(rng: np.random.Generator) -> list[Layer]:
    """More neurons than a block holds or a little less; weights at the ends of int8 and beyond."""
    inputs, outputs = int(rng.choice([63, 64, 65, 300])), int(rng.choice([255, 256, 257, 1030]))
    ends = [[-128, 127], [-256, 254], [-127, 127], [-255, 253], [-1, 2], [0, 255], [-129, 128]]
    weight = rng.choice(ends[rng.integers(len(ends))], (outputs, inputs))
    weight[rng.random(weight.shape) < rng.choice([0.0, 0.9])] = 1
    layers: list[Layer] = [dense(0, weight, cell(rng, outputs, range(600)), bias=None)]
    layers.append(dense(1, quirky(rng, (3, outputs)), cell(rng, 3, range(300))))
    return layers


def recurrent(rng: np.random.Generator) -> list[Layer]:
    """Spikes come back a step later, through a matrix that is packed with the other."""
    inputs, outputs = few_or_many(rng, (1, 5), 2)
    weight, back = quirky(rng, (outputs, inputs)), quirky(rng, (outputs, outputs))
    if min(weight.min(), back.min()) < 0:  # 255 is for matrices without a negative weight
        weight, back = np.minimum(weight, 254), np.minimum(back, 254)
    bias = biases(rng, outputs)
    if rng.random() < 0.4:  # each sum loses a bit of its own; only a bias makes such a layer spike
        weight, back = (rng.choice([-128, -128, -3, 0], m.shape) for m in (weight, back))
        weight[0, 0], back[0, 0], bias = -128, 0, np.full(outputs, 300)
    layer = RecurrentLayer(0, (outputs, 1, 1), cell(rng, outputs, range(7)), weight, back, bias)
    return [layer, dense(1, quirky(rng, (2, outputs)), cell(rng, 2, range(7)))]


def driven(rng: np.random.Generator) -> list[Layer]:
    """An on-chip input layer before a narrow network."""
    layers = narrow(rng)
    inputs = layers[0].weight.shape[1]
    first = InputLayer(0, (inputs, 1, 1), cell(rng, inputs, [0, 3, 100, (1 << 17) - 1, 1 << 17]))
    later = (dense(n + 1, la.weight, la.neuron, bias=la.bias) for n, la in enumerate(layers))
    return [first, *later]


def conv(rng: np.random.Generator) -> list[Layer]:
    """Channels with decays, thresholds and biases of their own; grouped, strided, padded."""
    groups, side = int(rng.integers(1, 3)), int(rng.integers(2, 6))
    channels, stride, padding = 2 * groups, int(rng.integers(1, 3)), int(rng.integers(0, 2))
    length = (side + 2 * padding - 2) // stride + 1
    weight = quirky(rng, (channels, 1, 2, 2))
    layer = ConvLayer(
        1,
        (channels, length, length),
        cell(rng, channels, range(7)),
        weight,
        biases(rng, channels),
        stride=(stride, stride),
        padding=(padding, padding),
        groups=groups,
    )
    own = cell(rng, groups, range(7)) if rng.random() < 0.3 else None
    return [InputLayer(0, (groups, side, side), own), layer]


KINDS: dict[str, Callable[[np.random.Generator], list[Layer]]] = {
    "narrow": narrow,
    "wide": wide,
    "border": border,
    "delayed": delayed,
    "driven": driven,
    "broad": broad,
    "recurrent": recurrent,
    "conv": conv,
}


@st.composite
def at_borders(draw: st.DrawFn) -> Case:
    """A network of one kind with inputs: the structure is drawn, the numbers are seeded."""
    kind = draw(st.sampled_from([*sorted(KINDS), "wide"]))
    clock = draw(st.sampled_from([ALIGNED, ALIGNED, GLOBAL]))
    batch = draw(st.sampled_from([1, 1, 2, 3]))
    long = kind in ("delayed", "broad")
    steps = draw(st.sampled_from([1, 2, 5, 64, 70, 70] if long else [1, 2, 5, 12]))
    crowded = kind in ("border", "wide")
    density = draw(st.sampled_from([1.0, 1.0, 1.0, 0.8] if crowded else [0.0, 0.3, 0.7, 1.0]))
    number = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(number)
    layers = KINDS[kind](rng)
    words = f"{kind} {number}"
    first: Any = layers[0]
    shape = first.shape if isinstance(first, InputLayer) else (first.weight.shape[1], 1, 1)
    model = NetxModel(shape, tuple(layers))
    if model.input_layer is not None and rng.random() < 0.7:
        limit = rng.choice([5, 4095, 32767])
        drive = rng.integers(-limit - 1, limit, (batch, *shape), endpoint=True)
        inputs = Inputs.drive(torch.from_numpy(drive.astype(np.int32)), steps)
        return Case(words, model, inputs, clock)
    spikes = rng.random((batch, *shape, steps)) < density
    return Case(words, model, Inputs.of(torch.from_numpy(spikes.astype(np.uint8))), clock)


# ---- the comparison


def assert_equals(run: Run, truth: dict[int, LayerTrace], who: str) -> None:
    assert list(run.layers) == list(truth)
    for number, expected in truth.items():
        for name in ("spikes", "u", "v"):
            got, wanted = getattr(run.layers[number], name), getattr(expected, name)
            where = f"{who}, layer {number}: {name}"
            assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape), where
            assert got.equal(wanted), f"{where} {got} instead of {wanted}"
    assert_answers(run, truth, who)


def assert_answers(run: Run, truth: dict[int, LayerTrace], who: str) -> None:
    last = truth[max(truth)]
    assert run.spikes.equal(last.spikes), who
    assert run.membrane.equal(last.v[:, :, -1]), who


def one_sample(truth: dict[int, LayerTrace], sample: int) -> dict[int, LayerTrace]:
    chosen = slice(sample, sample + 1)
    return {
        number: LayerTrace(trace.spikes[chosen], trace.u[chosen], trace.v[chosen])
        for number, trace in truth.items()
    }


def engines(model: NetxModel, device: str) -> dict[str, EngineBackend]:
    """As it plans itself, and by every other path that is proven exact for some layer."""
    found = {AUTO: EngineBackend(model, device)}
    if device != "cpu":
        return found
    numbers = [layer.number for layer in model.spiking_layers if not isinstance(layer, InputLayer)]
    for path in PATHS:
        allowed = {
            number: path for number in numbers if path != AUTO and takes(model, number, path)
        }
        if allowed:
            found[path] = EngineBackend(model, path=allowed)
    return found


def takes(model: NetxModel, number: int, path: str) -> bool:
    try:
        EngineBackend(model, path={number: path})
    except BadInput as error:
        if "refused" not in str(error):
            raise
        return False
    return True


def compare(
    case: Case,
    oracle: Any,
    monkeypatch: pytest.MonkeyPatch,
    met: Counter[str],
    device: str = "cpu",
) -> None:
    """Reference and engine; the engine by every path, whole and in small parts, recorded or not.

    What is not recorded is computed by other loops.
    """
    model, inputs, clock = case.model, case.inputs, case.clock
    truth = oracle(model, inputs, clock=clock)
    if not truth:
        return
    record, last = list(truth), len(inputs) - 1
    assert_equals(ReferenceBackend(model).run(inputs, record, clock), truth, "reference")
    for path, engine in engines(model, device).items():
        assert_answers(engine.run(inputs, clock=clock), truth, f"{path}, nothing recorded")
        with monkeypatch.context() as patched:
            patched.setattr(loops, "WORTH_A_THREAD", 1)
            patched.setattr(memory, "CHUNK_BYTES", 1)
            patched.setattr(memory, "BLOCK_BYTES", 1)
            run = engine.run(inputs, record, clock)
            assert_equals(run, truth, f"{path}, step by step")
            if path == AUTO:
                run = engine.run(inputs, clock=clock)
                assert_answers(run, truth, "step by step, nothing recorded")
        if path == AUTO:
            assert_equals(engine.run(inputs, record, clock), truth, "engine")
            alone = engine.run(inputs[last : last + 1], record, clock)
            assert_equals(alone, one_sample(truth, last), "engine, a sample alone")
        met[f"path {path}"] += 1
    met[f"{clock} clock"] += 1
    met.update(met_in(model, inputs, truth))


def met_in(model: NetxModel, inputs: Inputs, truth: dict[int, LayerTrace]) -> set[str]:
    """What of the borders a case came to."""
    steps = inputs.steps
    met = {"case"}
    met |= {"one step"} if steps == 1 else set()
    met |= {"batch of one"} if len(inputs) == 1 else set()
    met |= {"drive"} if inputs.driven else set()
    met |= {"no input spikes"} if not inputs.driven and not inputs.values.any() else set()
    for layer in model.spiking_layers:
        if layer.number not in truth:
            continue
        trace = truth[layer.number]
        bias, delay = getattr(layer, "bias", None), getattr(layer, "delay", None)
        reached = {
            "spikes": bool(trace.spikes.any()),
            "u at +2^23": bool((trace.u == TOP).any()),
            "u beyond 24 bits": bool((trace.u.abs() > TOP).any()),
            "v saturated": bool((trace.v.abs() == TOP - 1).any()),
            "bias beyond int16": bias is not None and bool((np.abs(bias) > 32768).any()),
            "delay 62 arrives": delay is not None and delay.max() == 62 and steps > 62,
            "several delays": delay is not None and len(np.unique(delay)) > 1,
            "recurrent": isinstance(layer, RecurrentLayer),
            "u wrapped": isinstance(layer, DenseLayer) and wrapped(layer, trace),
            "weights changed": isinstance(layer, DenseLayer) and changed(layer.weight),
        }
        if layer.neuron is not None:
            met |= decays_of(layer.neuron)
            per_neuron = np.prod(layer.shape) // layer.shape[0]
            theta = np.resize(layer.neuron.threshold, layer.shape[0]).repeat(per_neuron)
            exact = (trace.v.numpy() == theta[:, None] << 6) & (theta[:, None] > 0)
            reached["threshold met exactly"] = bool(exact.any())
            reached["one parameter a channel"] = np.size(layer.neuron.threshold) > 1
        met |= {name for name, true in reached.items() if true}
    return met


def decays_of(neuron: Neuron) -> set[str]:
    used = {"current": neuron.current_decay, "voltage": neuron.voltage_decay}
    return {
        f"{name} decay {value}"
        for name, values in used.items()
        for value in (0, 1, 4095, 4096)
        if (np.asarray(values) == value).any()
    }


def wrapped(layer: DenseLayer, trace: LayerTrace) -> bool:
    """A row of one sign drove u to the other."""
    sign = np.where(layer.weight.min(1) >= 0, 1, np.where(layer.weight.max(1) <= 0, -1, 0))
    return bool((trace.u.numpy() * sign[:, None] < 0).any())


def changed(weight: Any) -> bool:
    packed = pack_dense_weights(weight)
    return bool((packed.weights != weight << packed.shift).any())


def run_counted(
    cases: st.SearchStrategy[Case], count: int, number: int, check: Callable[[Case], None]
) -> None:
    """`check` on `count` cases, always the same ones for the same number."""

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def every(case: Case) -> None:
        check(case)

    every()


RARE = {
    "u at +2^23",
    "u beyond 24 bits",
    "u wrapped",
    "v saturated",
    "bias beyond int16",
    "delay 62 arrives",
    "several delays",
    "weights changed",
    "threshold met exactly",
    "one parameter a channel",
    "one step",
    "batch of one",
    "no input spikes",
    "drive",
    "spikes",
    "recurrent",
    "aligned clock",
    "global clock",
    *(f"path {path}" for path in PATHS),
    *(f"{name} decay {value}" for name in ("current", "voltage") for value in (0, 1, 4095, 4096)),
}


@pytest.mark.lava
def test_networks_at_the_borders_equal_lava(lava_oracle, monkeypatch):
    met: Counter[str] = Counter()
    run_counted(at_borders(), 300, 1, lambda case: compare(case, lava_oracle, monkeypatch, met))
    assert met["case"] >= 300
    assert {name: met[name] for name in RARE if met[name] < 6} == {}


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NO_GPU)])
def test_networks_at_the_borders_equal_the_reference(monkeypatch, device):
    """Needs no Lava: other versions of torch and numpy, and GPUs."""
    met: Counter[str] = Counter()

    def reference(model: NetxModel, inputs: Inputs, clock: str) -> dict[int, LayerTrace]:
        record = [layer.number for layer in model.running_layers(inputs.driven)]
        return ReferenceBackend(model).run(inputs, record, clock).layers

    count = 60 if device == "cpu" else 1000
    run_counted(
        at_borders(), count, 9, lambda case: compare(case, reference, monkeypatch, met, device)
    )
    assert met["case"] >= count


@pytest.mark.lava
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", range(2, 8))
def test_many_networks_equal_lava(lava_oracle, tiny_networks, monkeypatch, number):
    """Six times 900 cases: half at the borders, half any small network."""
    met: Counter[str] = Counter()
    kinds = at_borders() if number % 2 else tiny_networks.map(lambda drawn: Case("tiny", *drawn))
    run_counted(kinds, 900, number, lambda case: compare(case, lava_oracle, monkeypatch, met))
    assert met["case"] >= 850, met  # a network of an input layer alone takes no spikes
    rare = RARE if number % 2 else {"one step", "batch of one", "spikes", "drive"}
    assert {name: met[name] for name in rare if met[name] < 30} == {}


@pytest.mark.lava
def test_currents_beyond_int32_equal_lava(lava_oracle, monkeypatch):
    """70,000 full inputs: the sums leave 2^24, and u leaves ±2^31 in the second step.

    Two more neurons come to ±2^23 exactly: 1024 inputs of ±128.
    """
    weight = np.full((4, 70_000), 254)
    weight[1] = -256
    weight[2:] = 0
    weight[2, :1024], weight[3, :1024] = 128, -128
    model = NetxModel((70_000, 1, 1), (dense(0, weight, Neuron(*map(np.array, (1, 3, 1 << 17)))),))
    spikes = torch.ones((1, 70_000, 1, 1, 6), dtype=torch.uint8)
    compare(Case("", model, Inputs.of(spikes)), lava_oracle, monkeypatch, Counter())
    u = lava_oracle(model, spikes)[0].u[0]
    assert (u[0, :2] > 1 << 29).tolist() == [True, False]
    assert (u[1, :2] < -(1 << 29)).tolist() == [True, False]
    assert u[2:, 0].tolist() == [TOP, TOP]


@pytest.mark.lava
def test_conv_sums_beyond_24_bits_equal_lava(lava_oracle):
    """Sums of ±2^23 exactly, and well beyond: 33,026 · 254 + 4 and 32,768 · -256 are the border."""
    weight = np.full((4, 34_000, 1, 1), 254)
    weight[1] = -256
    weight[2, 33_026:], weight[3, 32_768:] = 0, 0
    weight[2, 33_026], weight[3, :32_768] = 4, -256
    layer = ConvLayer(1, (4, 1, 1), Neuron(*map(np.array, (0, 4096, 5000))), weight)
    model = NetxModel((34_000, 1, 1), (InputLayer(0, (34_000, 1, 1), None), layer))
    spikes = torch.ones((1, 34_000, 1, 1, 2), dtype=torch.uint8)
    truth = lava_oracle(model, spikes)
    assert truth[1].u[0, 0, 0] != 34_000 * 254 << 6
    assert truth[1].u[0, 2:, 0].tolist() == [2 * TOP - (TOP << 6)] * 2  # both are -2^23
    for make in (ReferenceBackend, EngineBackend):
        assert_equals(make(model).run(spikes, [1]), truth, make.name)
