"""Small models, random models and files that were edited by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import strategies as st

from neurorobust.netx import (
    AverageLayer,
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    Layer,
    NetxModel,
    Neuron,
    RecurrentLayer,
    write,
)
from neurorobust.netx.chain import conv_output
from neurorobust.netx.model import IntArray, Shape

Edit = Callable[[Any], object]


def _neuron(current_decay: int = 1024, voltage_decay: int = 128, threshold: int = 80) -> Neuron:
    return Neuron(np.array([current_decay]), np.array([voltage_decay]), np.array([threshold]))


def _tiny() -> NetxModel:
    """Every kind of layer, 8 KiB of data at most."""
    generator = np.random.default_rng(5)
    conv = ConvLayer(
        number=1,
        shape=(4, 3, 5),
        neuron=Neuron(np.array([4096]), np.array([128]), np.array([20, 30, 40, 50])),
        weight=generator.integers(-100, 100, (4, 1, 3, 2)),
        bias=np.array([-3, 0, 7, 40000]),
        stride=(2, 1),
        padding=(1, 0),
        groups=2,
    )
    delay = generator.integers(0, 63, (3, 60))
    return NetxModel(
        (2, 6, 6),
        (
            InputLayer(0, (2, 6, 6), _neuron(), weight=2.5, bias=-1.0),
            conv,
            FlattenLayer(2, (60, 1, 1)),
            DenseLayer(3, (3, 1, 1), _neuron(), generator.integers(-9, 9, (3, 60)), delay=delay),
            DenseLayer(4, (6, 1, 1), None, generator.integers(-9, 9, (6, 3)), bias=np.arange(6)),
            AverageLayer(5, (2, 1, 1)),
        ),
    )


@pytest.fixture
def tiny() -> NetxModel:
    return _tiny()


@pytest.fixture
def edited(tmp_path: Path) -> Callable[..., Path]:
    """Write a model, let `edit` change the open HDF5 file, give the path."""
    numbers = itertools.count()

    def make(edit: Edit, model: NetxModel | None = None) -> Path:
        path = tmp_path / f"edited{next(numbers)}.net"
        write(_tiny() if model is None else model, path)
        with h5py.File(path, "r+") as file:
            edit(file)
        return path

    return make


@pytest.fixture(scope="session")
def any_model() -> st.SearchStrategy[NetxModel]:
    """Models that `write` must write and `read` must give back equal."""
    return _models()


def _integers(low: int, high: int) -> st.SearchStrategy[int]:
    return st.sampled_from([low, high]) | st.integers(low, high)


@st.composite
def _array(draw: st.DrawFn, shape: tuple[int, ...], low: int, high: int) -> IntArray:
    """Uniform with both ends in it."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = generator.integers(low, high, shape, endpoint=True)
    values.flat[-1], values.flat[0] = low, high
    return values


@st.composite
def _random_neuron(draw: st.DrawFn, channels: int) -> Neuron:
    count = channels if draw(st.booleans()) else 1

    def parameter(high: int) -> IntArray:
        return np.array([draw(_integers(0, high)) for _ in range(count)])

    return Neuron(parameter(4096), parameter(4096), parameter((2**31 - 1) >> 6))


@st.composite
def _bias(draw: st.DrawFn, outputs: int) -> IntArray | None:
    return draw(st.none() | _array((outputs,), -(2**31), 2**31 - 1))


@st.composite
def _conv(draw: st.DrawFn, number: int, shape: Shape) -> ConvLayer:
    groups = draw(st.sampled_from([n for n in (1, 2, 3) if shape[0] % n == 0]))
    channels = groups * draw(st.integers(1, 3))
    padding, dilation, kernel = [], [], []
    for size in shape[1:]:
        padding.append(draw(st.integers(0, 2)))
        dilation.append(draw(st.integers(1, 2)))
        kernel.append(draw(st.integers(1, 1 + (size + 2 * padding[-1] - 1) // dilation[-1])))
    low, high = draw(st.sampled_from([(-256, 254), (0, 255), (-256, -1)]))
    layer = ConvLayer(
        number=number,
        shape=(1, 1, 1),
        neuron=draw(_random_neuron(channels)),
        weight=draw(_array((channels, shape[0] // groups, *kernel), low, high)),
        bias=draw(_bias(channels)),
        stride=(draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        padding=(padding[0], padding[1]),
        dilation=(dilation[0], dilation[1]),
        groups=groups,
    )
    fields = vars(layer) | {"shape": (channels, *conv_output(layer, *shape[1:]))}
    return ConvLayer(**fields)


@st.composite
def _dense(draw: st.DrawFn, number: int, inputs: int) -> DenseLayer:
    outputs = draw(st.integers(1, 5))
    low, high = draw(st.sampled_from([(-256, 254), (0, 255), (-256, -1), (-5, 1)]))
    return DenseLayer(
        number=number,
        shape=(outputs, 1, 1),
        neuron=draw(st.none() | _random_neuron(outputs)),
        weight=draw(_array((outputs, inputs), low, high)),
        bias=draw(_bias(outputs)),
        delay=draw(st.none() | _array((outputs, inputs), 0, 62)),
    )


@st.composite
def _recurrent(draw: st.DrawFn, number: int, inputs: int) -> RecurrentLayer:
    outputs = draw(st.integers(1, 5))
    low, high = draw(st.sampled_from([(-256, 254), (0, 255), (-256, -1), (-5, 1)]))
    return RecurrentLayer(
        number=number,
        shape=(outputs, 1, 1),
        neuron=draw(st.none() | _random_neuron(outputs)),
        weight=draw(_array((outputs, inputs), low, high)),
        weight_rec=draw(_array((outputs, outputs), low, high)),
        bias=draw(_bias(outputs)),
    )


@st.composite
def _models(draw: st.DrawFn) -> NetxModel:
    layers: list[Layer] = []
    convs = draw(st.integers(0, 2))
    shape: Shape = (draw(st.integers(1, 6)), 1, 1)
    if convs or draw(st.booleans()):
        sides = (draw(st.integers(1, 6)), draw(st.integers(1, 6))) if convs else (1, 1)
        shape = (shape[0], *sides)
        factor = st.floats(-1e6, 1e6)
        layers.append(
            InputLayer(
                0,
                shape,
                draw(st.none() | _random_neuron(shape[0])),
                weight=draw(factor),
                bias=draw(factor),
            )
        )
    for _ in range(convs):
        layers.append(draw(_conv(len(layers), shape)))
        shape = layers[-1].shape
    if convs and draw(st.booleans()):
        shape = (math.prod(shape), 1, 1)
        layers.append(FlattenLayer(len(layers), shape))
    if shape[1:] == (1, 1):
        for _ in range(draw(st.integers(0 if convs else 1, 2))):
            make = draw(st.sampled_from([_dense, _recurrent]))
            layers.append(draw(make(len(layers), shape[0])))
            shape = layers[-1].shape
    if draw(st.booleans()):
        layers.append(AverageLayer(len(layers), (math.prod(shape), 1, 1)))
    first = layers[0]
    dense = isinstance(first, DenseLayer | RecurrentLayer)
    fed = (first.weight.shape[1], 1, 1) if dense else first.shape
    return NetxModel(fed, tuple(layers))
