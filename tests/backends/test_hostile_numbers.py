"""Networks made of hostile numbers: refused by name, or equal to Lava's models; never different.

Each seed is one network, benign but for one to three fields. It is tried as it stands in memory and
as the bytes of a `.net` file, by the reference and by the engine.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.errors import ModelFileError, NeuroRobustError
from neurorobust.netx.chain import conv_output
from neurorobust.netx.model import (
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    Layer,
    NetxModel,
    Neuron,
    RecurrentLayer,
)
from neurorobust.netx.read import parse
from neurorobust.netx.write import serialise
from neurorobust.types import Inputs, LayerTrace

pytestmark = pytest.mark.lava

# within the limits, and beyond them
WEIGHTS = (
    (-256, -255, -254, -129, -128, -127, -64, -1, 0, 1, 2, 127, 128, 254),
    (-40000, -32769, -32768, -1000, -258, -257, 255, 256, 257, 1000, 32767, 32768, 40000),
)
DECAYS = ((0, 1, 2, 64, 2048, 4094, 4095, 4096), (-4096, -1, 4097, 8192, 65535, 1 << 20))
THRESHOLDS = (
    (0, 1, 2, 600, (1 << 17) - 1, 1 << 17, (1 << 17) + 1, 1 << 18, (1 << 25) - 1),
    (-(1 << 25), -600, -1, 1 << 25, (1 << 31) - 1, 1 << 31, 1 << 40),
)
BIASES = (
    (-(1 << 31), -40000, -32769, -32768, -4096, -1, 0, 1, 4095, 32767, 40000, (1 << 31) - 1),
    (-(1 << 40), -(1 << 31) - 1, 1 << 31, 1 << 40),
)
DELAYS = ((0, 1, 2, 61, 62), (-200, -1, 63, 64, 127, 128, 200, 1 << 20))
DRIVES = ((-32768, -32767, -4096, -1, 0, 1, 32767), (-40000, -32769, 32768, 40000))
STORED = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "uint64", "float32", "float64")

Numbers = tuple[tuple[int, ...], tuple[int, ...]]


# ---- the networks


def benign(rng: np.random.Generator) -> tuple[list[Layer], bool]:
    """Layers of a small network, and whether it is fed drive."""
    kinds = ["dense", "delayed", "deep", "accumulator", "input", "conv", "both", "recurrent"]
    kind = rng.choice(kinds)
    if kind in ("conv", "both"):
        channels, side = int(rng.integers(1, 4)), int(rng.integers(2, 5))
        groups = channels if rng.random() < 0.3 else 1
        kernel = rng.integers(-60, 90, (2 * groups, channels // groups, 2, 2))
        own = cell(rng) if rng.random() < 0.3 else None
        layers: list[Layer] = [InputLayer(0, (channels, side, side), own)]
        shape = (2 * groups, side - 1, side - 1)
        layers.append(ConvLayer(1, shape, cell(rng), kernel, bias(rng, 2 * groups), groups=groups))
        if kind == "both":
            width = math.prod(shape)
            layers.append(FlattenLayer(2, (width, 1, 1)))
            layers.append(dense(rng, 3, width))
        return layers, own is not None and bool(rng.random() < 0.5)
    inputs = int(rng.integers(1, 6))
    if kind == "input":
        layers = [InputLayer(0, (inputs, 1, 1), cell(rng)), dense(rng, 1, inputs)]
        return layers, bool(rng.random() < 0.7)
    layers = [dense(rng, 0, inputs)]
    if kind == "delayed":
        reach = rng.integers(0, 4, layers[0].weight.shape)
        layers = [replace(layers[0], delay=reach)]
    if kind == "deep":
        layers.append(dense(rng, 1, layers[0].shape[0]))
    if kind == "recurrent":
        first = layers[0]
        back = rng.integers(-100, 120, (len(first.weight), len(first.weight)))
        own = (first.shape, first.neuron, first.weight, back, first.bias)
        layers = [RecurrentLayer(0, *own), dense(rng, 1, first.shape[0])]
    if kind == "accumulator":
        layers = [replace(layers[0], neuron=None)]
    return layers, False


def cell(rng: np.random.Generator) -> Neuron:
    values = rng.integers(0, 4097), rng.integers(0, 4097), rng.integers(1, 200)
    return Neuron(*(np.array(value) for value in values))


def bias(rng: np.random.Generator, count: int) -> Any:
    return rng.integers(-50, 80, count) if rng.random() < 0.5 else None


def dense(rng: np.random.Generator, number: int, inputs: int) -> DenseLayer:
    outputs = int(rng.integers(1, 5))
    weight = rng.integers(-100, 120, (outputs, inputs))
    weight.flat[0] = rng.choice([-7, 9])  # not all zero
    return DenseLayer(number, (outputs, 1, 1), cell(rng), weight, bias(rng, outputs))


# ---- what is done to them


def spoilt(rng: np.random.Generator, values: Any, limits: Numbers) -> Any:
    """Hostile numbers in one entry, some entries or all; now and then some beyond the limits."""
    out = np.array(values, dtype=np.int64)
    numbers = limits[0] + limits[1] if rng.random() < 0.3 else limits[0]
    spread = rng.choice(["one", "some", "all", "same"])
    if spread == "same" or out.size == 0:
        return np.full_like(out, rng.choice(numbers))
    where = np.ones(out.shape, dtype=bool) if spread == "all" else rng.random(out.shape) < 0.4
    if spread == "one":
        where = np.zeros(out.shape, dtype=bool)
        where.flat[rng.integers(out.size)] = True
    return np.where(where, rng.choice(numbers, out.shape), out)


def counted(rng: np.random.Generator, values: Any, channels: int) -> Any:
    """One for the layer, one a channel, or now and then too many or too few."""
    count = rng.choice([0, 1, channels, channels + 1], p=[0.35, 0.1, 0.5, 0.05])
    flat = np.asarray(values).reshape(-1)
    return flat[0] if count == 0 else np.resize(flat, count)


def weights(rng: np.random.Generator, layer: Any) -> Any:
    name = "weight_rec" if layer.kind == "dense_rec" and rng.random() < 0.6 else "weight"
    weight = spoilt(rng, getattr(layer, name), WEIGHTS)
    sign = rng.choice([0, 0, 1, -1])  # quirks live where no weight is positive
    return replace(layer, **{name: sign * np.abs(weight) if sign else weight})


def parameters(rng: np.random.Generator, layer: Any) -> Any:
    channels = layer.shape[0]
    fields = {"current_decay": DECAYS, "voltage_decay": DECAYS, "threshold": THRESHOLDS}
    name = str(rng.choice(list(fields)))
    spread = np.resize(getattr(layer.neuron, name), channels)
    values = counted(rng, spoilt(rng, spread, fields[name]), channels)
    return replace(layer, neuron=replace(layer.neuron, **{name: values}))


def biases(rng: np.random.Generator, layer: Any) -> Any:
    count = layer.shape[0] if rng.random() < 0.95 else layer.shape[0] + 1
    return replace(layer, bias=spoilt(rng, rng.integers(-50, 80, count), BIASES))


def delays(rng: np.random.Generator, layer: Any) -> Any:
    return replace(layer, delay=spoilt(rng, rng.integers(0, 4, layer.weight.shape), DELAYS))


def geometry(rng: np.random.Generator, layer: Any, source: tuple[int, int, int]) -> Any:
    """A parameter of the convolution at, or beyond, the end of int8; the shape follows."""
    value = int(rng.choice([1, 2, 3, 126, 127, 128, 129, 200]))
    axis, name = int(rng.integers(2)), rng.choice(["stride", "padding", "dilation"])
    pair = [int(entry) for entry in getattr(layer, name)]
    pair[axis] = value
    layer = replace(layer, **{str(name): tuple(pair)})
    if name == "dilation":  # room for the second row of the kernel
        padding = list(layer.padding)
        padding[axis] = min(127, value)
        layer = replace(layer, padding=tuple(padding))
    return replace(layer, shape=(layer.shape[0], *conv_output(layer, *source[1:])))


def many_groups(rng: np.random.Generator) -> list[Layer]:
    """A convolution of as many groups, or so tall a kernel, as int8 holds, or one more."""
    count = int(rng.choice([126, 127, 128, 129]))
    if rng.random() < 0.5:
        kernel = rng.integers(-60, 90, (count, 1, 1, 1))
        return [
            InputLayer(0, (count, 1, 2), None),
            ConvLayer(1, (count, 1, 2), cell(rng), kernel, bias(rng, count), groups=count),
        ]
    kernel = rng.integers(-60, 90, (2, 1, count, 1))
    return [
        InputLayer(0, (1, count, 1), None),
        ConvLayer(1, (2, 1, 1), cell(rng), kernel, bias(rng, 2)),
    ]


def hostile(rng: np.random.Generator) -> tuple[NetxModel, bool, list[str]]:
    """A network, whether it is fed drive, and what was done to it."""
    layers, driven = benign(rng)
    if rng.random() < 0.04:
        layers, driven = many_groups(rng), False
    done: list[str] = []
    for _ in range(rng.integers(1, 4)):
        spot = int(rng.choice([i for i, layer in enumerate(layers) if layer.kind != "flatten"]))
        layer: Any = layers[spot]
        ways = [] if layer.kind == "input" else ["weights", "weights", "biases"]
        ways += ["parameters"] * 2 * (layer.neuron is not None)
        ways += ["delays"] * (layer.kind == "dense") + ["geometry"] * (layer.kind == "conv")
        if not ways:
            continue
        way = str(rng.choice(ways))
        if way == "geometry":
            if len(layers) > 2:  # a flatten behind it would have to follow
                continue
            layer = geometry(rng, layer, layers[spot - 1].shape)
        else:
            layer = globals()[way](rng, layer)
        layers[spot] = layer
        done.append(f"{way} of {layer.kind}")
    first: Any = layers[0]
    shape = first.shape if first.kind == "input" else (first.weight.shape[1], 1, 1)
    return NetxModel(shape, tuple(layers)), driven, done


def fed(rng: np.random.Generator, model: NetxModel, driven: bool) -> Inputs:
    batch, steps = int(rng.integers(1, 3)), int(rng.choice([1, 2, 6, 70], p=[0.2, 0.2, 0.5, 0.1]))
    if max(math.prod(layer.shape) for layer in model.layers) > 10_000:
        batch, steps = 1, min(steps, 2)
    shape = (batch, *model.input_shape)
    if driven:
        values = spoilt(rng, rng.integers(-300, 4000, shape), DRIVES)
        return Inputs.drive(torch.from_numpy(values.astype(np.int32)), steps)
    density = rng.choice([0.0, 0.4, 0.8, 1.0], p=[0.05, 0.4, 0.25, 0.3])
    return Inputs.of(torch.from_numpy((rng.random((*shape, steps)) < density).astype(np.uint8)))


def restored(rng: np.random.Generator, image: bytes) -> tuple[bytes, list[str]]:
    """The file with one field of a layer stored in another type."""
    with h5py.File(io.BytesIO(image)) as file:
        names: list[str] = []
        file.visit(lambda name: names.append(name))
    fields = ("iDecay", "vDecay", "vThMant", "weight", "weight_rec", "bias", "delay")
    found = sorted(name for name in names if name.rsplit("/", 1)[-1] in fields)
    name, kind = str(rng.choice(found)), str(rng.choice(STORED))
    return retyped(image, name, kind), [f"{name.rsplit('/', 1)[-1]} as {kind}"]


def retyped(image: bytes, name: str, kind: str) -> bytes:
    """The file with one dataset cast as numpy casts it, overflow and all."""
    memory = io.BytesIO(image)
    with h5py.File(memory, "r+") as file:
        with np.errstate(invalid="ignore"):
            values = np.asarray(file[name][()]).astype(kind)
        del file[name]
        file.create_dataset(name, data=values)
    return memory.getvalue()


# ---- the judgement


@dataclass
class Tally:
    """Backends' answers, by what became of them."""

    networks: int = 0
    equal: int = 0
    refused: int = 0
    active: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)


def lava_answer(oracle: Any, *arguments: Any) -> dict[int, LayerTrace] | Exception:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            answer: dict[int, LayerTrace] = oracle(*arguments)
        except Exception as error:
            return error
    return answer


def backend_answer(
    make: Any, given: Callable[[], NetxModel], inputs: Inputs
) -> dict[int, LayerTrace] | str:
    """Every layer it can record, or the message with which it refused."""
    try:
        model = given()
        backend = make(model)
        run = backend.run(inputs, [layer.number for layer in model.running_layers(inputs.driven)])
    except NeuroRobustError as error:
        return str(error)
    return run.layers


def difference(got: dict[int, LayerTrace], wanted: dict[int, LayerTrace]) -> str:
    """The first number that differs, or nothing."""
    if list(got) != list(wanted):
        return f"layers {list(got)} instead of {list(wanted)}"
    for number, expected in wanted.items():
        for name in ("spikes", "u", "v"):
            mine, theirs = getattr(got[number], name), getattr(expected, name)
            if (mine.dtype, mine.shape) != (theirs.dtype, theirs.shape):
                return f"layer {number}: {name} {mine.dtype} {tuple(mine.shape)}"
            if not mine.equal(theirs):
                at = tuple((mine != theirs).nonzero()[0].tolist())
                return f"layer {number}: {name}{at} is {mine[at]}, Lava has {theirs[at]}"
    return ""


def judge(seed: int, oracle: Any, tally: Tally) -> None:
    rng = np.random.default_rng([2607, seed])
    model, driven, done = hostile(rng)
    inputs = fed(rng, model, driven)
    image = serialise(model)
    ways: list[Callable[[], NetxModel]] = [lambda: parse(image, "file")]
    if rng.random() < 0.25:
        image, more = restored(rng, image)
        done += more
    else:
        ways.append(lambda: model)
    truth = lava_answer(oracle, model, inputs, image)
    tally.networks += 1
    tally.done.update(set(done))
    for way in ways:
        for make in (ReferenceBackend, EngineBackend):
            answer = backend_answer(make, way, inputs)
            if isinstance(answer, str):
                assert re.fullmatch(r".{10,300}", answer), answer
                tally.refused += 1
                tally.reasons[kind_of(answer)] += 1
                continue
            where = f"seed {seed}, {make.__name__}, {done}"
            assert not isinstance(truth, Exception), f"{where}: ran, Lava cannot: {truth!r}"
            assert not (found := difference(answer, truth)), f"{where}: {found}"
            tally.equal += 1
            tally.active += any(bool(trace.spikes.any()) for trace in truth.values())


def kind_of(message: str) -> str:
    """The message without its numbers and names."""
    return "".join(c for c in message.split(": ", 1)[-1] if not c.isdigit() and c != "-")


def judged(seeds: range, oracle: Any) -> Tally:
    tally = Tally()
    for seed in seeds:
        judge(seed, oracle, tally)
    return tally


@pytest.mark.parametrize(
    "count",
    [
        150,
        pytest.param(2000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
    ],
)
def test_hostile_networks_are_refused_or_equal(lava_oracle, count):
    tally = judged(range(count), lava_oracle)
    assert tally.networks == count
    assert tally.equal > count
    assert tally.active > count / 2
    assert tally.refused > count / 2
    assert len(tally.reasons) >= 12, tally.reasons
    assert len(tally.done) >= 12, tally.done


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16"])
def test_thresholds_stored_too_narrow_are_refused(lava_oracle, kind):
    """Lava shifts an array of thresholds in its own type: 700 << 6 leaves int16."""
    threshold = {"int8": 3, "uint8": 4, "int16": 700, "uint16": 1024}[kind]
    cell = Neuron(np.array(0), np.array(0), np.array([threshold, threshold]))
    model = NetxModel((1, 1, 1), (DenseLayer(0, (2, 1, 1), cell, np.array([[2], [-1]])),))
    image = retyped(serialise(model), "layer/0/neuron/vThMant", kind)
    quiet = torch.zeros((1, 1, 1, 1, 3), dtype=torch.uint8)
    quiet[..., 0] = 1
    truth = lava_oracle(model, quiet, image)[0]
    assert truth.spikes.any()  # at a v of 2, far below the threshold
    with pytest.raises(ModelFileError, match=rf"vThMant {threshold} is stored as {kind}: Lava"):
        parse(image, "file")
    low = replace(model.layers[0], neuron=replace(cell, threshold=np.array([1, 0])))
    small = NetxModel(model.input_shape, (low,))
    stored = parse(retyped(serialise(small), "layer/0/neuron/vThMant", kind), "file")
    assert stored.layers[0].neuron.threshold.tolist() == [1, 0]


@pytest.mark.parametrize("name", ["iDecay", "vDecay", "vThMant"])
@pytest.mark.parametrize("kind", ["float32", "float64", "uint64"])
def test_parameters_that_lava_cannot_shift_are_refused(lava_oracle, name, kind):
    model = NetxModel((1, 1, 1), (dense(np.random.default_rng(0), 0, 1),))
    image = retyped(serialise(model), f"layer/0/neuron/{name}", kind)
    with pytest.raises(TypeError):
        lava_oracle(model, torch.ones((1, 1, 1, 1, 2), dtype=torch.uint8), image)
    with pytest.raises(ModelFileError, match=f"{name} is stored as {kind}, which Lava cannot"):
        parse(image, "file")
