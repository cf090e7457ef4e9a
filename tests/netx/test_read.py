"""Older and odder encodings of the same network read the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurorobust.netx import DenseLayer, NetxModel, Neuron, read
from neurorobust.netx.compare import difference
from neurorobust.netx.hdf5 import opened
from neurorobust.netx.write import serialise

Edited = Callable[..., Path]


def put(group: Any, name: str, value: Any) -> None:
    """Replace a field."""
    if name in group:
        del group[name]
    group[name] = value


def dense_model(weight: list[list[int]]) -> NetxModel:
    matrix = np.array(weight)
    neuron = Neuron(np.array([1024]), np.array([128]), np.array([80]))
    layer = DenseLayer(0, (len(matrix), 1, 1), neuron, matrix)
    return NetxModel((matrix.shape[1], 1, 1), (layer,))


@pytest.mark.parametrize(
    "edit",
    [
        lambda f: put(f["layer/1"], "weight", f["layer/1/weight"][()][..., None]),
        lambda f: put(f["layer/1"], "weight", f["layer/1/weight"][()].astype("f4")),
        lambda f: put(f["layer/1"], "weight", f["layer/1/weight"][()].astype(">f8")),
        lambda f: put(f["layer/1"], "bias", f["layer/1/bias"][()].astype("f8")),
        lambda f: put(f["layer/3"], "weight", f["layer/3/weight"][()].reshape(-1)),
        lambda f: put(f["layer/3"], "delay", f["layer/3/delay"][()] + 0.75),
        lambda f: put(f["layer/3"], "shape", np.array([1, 1, 3])),
        lambda f: put(f["layer/3"], "shape", np.array([1, 3])),
        lambda f: put(f["layer/3"], "type", "dense"),
        lambda f: put(f["layer/3"], "type", np.bytes_("dense")),
        lambda f: put(f["layer/3/neuron"], "type", "LOIHI"),
        lambda f: put(f["layer/3/neuron"], "type", np.array([b"CUBA"])),
        lambda f: put(f["layer/3/neuron"], "iDecay", np.array([1024], dtype="u2")),
        lambda f: put(f["layer/3/neuron"], "vThMant", np.full(3, 80)[:1]),
        lambda f: put(f["layer/3/neuron"], "weight_exp", np.zeros(3)),
        lambda f: put(f["layer/3/neuron"], "messageBits", 0),
        lambda f: put(f["layer/3/neuron"], "refDelay", 4),
        lambda f: put(f["layer/3/neuron"], "theta", 5120),
        lambda f: put(f["layer/1"], "delay", np.zeros(4)),
        lambda f: put(f["layer/4"], "delay", np.full(6, 0.9, dtype="f4")),
        lambda f: put(f["layer/2"], "shape", np.array([1, 1, 60])),
        lambda f: put(f["layer/0"], "weight", np.array([2.5], dtype="f4")),
        lambda f: put(f["layer/0"], "bias", np.array([[-1.0]])),
        lambda f: put(f["layer/3"], "inFeatures", 7),
        lambda f: put(f, "simulation/tSample", 16),
    ],
)
def test_other_encodings_read_equal(edit: Any, edited: Edited, tiny: NetxModel) -> None:
    assert difference(tiny, read(edited(edit))) is None


def test_numbers_for_pairs(edited: Edited) -> None:
    def edit(file: Any) -> None:
        conv = file["layer/1"]
        put(conv, "stride", 1)
        put(conv, "padding", np.array([1]))
        put(conv, "dilation", 2)
        put(conv, "shape", np.array([4, 4, 6]))
        put(file["layer/2"], "shape", np.array([96]))
        put(file["layer/3"], "weight", np.ones((3, 96)))
        del file["layer/3/delay"]

    conv = read(edited(edit)).layers[1]
    assert (conv.stride, conv.padding, conv.dilation) == ((1, 1), (1, 1), (2, 2))


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (np.array([1, 62]), [[1, 1, 1], [62, 62, 62]]),  # one an output
        (np.array([1, 2, 3]), [[1, 2, 3], [1, 2, 3]]),  # one an input
        (np.array([1.99, 300.0]), [[1, 1, 1], [62, 62, 62]]),  # floored, clamped
        (np.array(5), [[5, 5, 5], [5, 5, 5]]),
        (np.array([[1, 2, 3], [4, 5, 6]]), [[1, 2, 3], [4, 5, 6]]),
        (np.array([0.5, 0.0]), None),
    ],
)
def test_delays_are_spread_as_netx_does(
    stored: Any, expected: list[list[int]] | None, edited: Edited
) -> None:
    model = dense_model([[2, 4, 6], [-2, 0, 2]])
    delay = read(edited(lambda f: put(f["layer/0"], "delay", stored), model)).layers[0].delay
    if expected is None:
        assert delay is None
    else:
        assert delay.dtype == np.int64
        np.testing.assert_array_equal(delay, expected)


def test_delays_of_a_square_layer_are_one_an_output(edited: Edited) -> None:
    path = edited(lambda f: put(f["layer/0"], "delay", [3, 9]), dense_model([[2, 4], [6, 8]]))
    np.testing.assert_array_equal(read(path).layers[0].delay, [[3, 3], [9, 9]])


def test_one_bias_serves_all_outputs_of_a_dense_layer(edited: Edited) -> None:
    path = edited(lambda f: put(f["layer/0"], "bias", [7.0]), dense_model([[2, 4], [6, 8]]))
    np.testing.assert_array_equal(read(path).layers[0].bias, [7, 7])


@pytest.mark.parametrize(
    ("stored", "shape"), [([3], (3, 1, 1)), ([3, 1, 1], (3, 1, 1)), ([1, 1, 3], (1, 1, 3))]
)
def test_input_shapes(stored: list[int], shape: tuple[int, ...], edited: Edited) -> None:
    def edit(file: Any) -> None:
        file.move("layer/0", "layer/2")
        file["layer/0/type"], file["layer/0/shape"] = "input", stored
        file["layer/1/type"], file["layer/1/shape"] = "flatten", [3, 1, 1]

    model = read(edited(edit, dense_model([[2, 4, 6]])))
    assert model.input_shape == shape
    assert model.input_layer is None
    assert (model.layers[0].weight, model.layers[0].bias) == (64.0, 0.0)


def test_two_entries_are_height_and_width(edited: Edited) -> None:
    path = edited(lambda f: put(f["layer/5"], "shape", [6]))
    assert read(path).layers[5].shape == (6, 1, 1)

    def edit(file: Any) -> None:
        file.move("layer/0", "layer/2")
        file["layer/0/type"], file["layer/0/shape"] = "input", [2, 3]
        file["layer/1/type"], file["layer/1/shape"] = "flatten", [6]

    assert read(edited(edit, dense_model([[1, 2, 3, 4, 5, 6]]))).input_shape == (1, 2, 3)


def test_without_an_input_layer_a_dense_layer_tells_the_shape(edited: Edited) -> None:
    model = read(edited(lambda f: None, dense_model([[2, 4, 6]])))
    assert model.input_shape == (3, 1, 1)
    assert model.outputs == 1


def test_files_in_memory_do_not_meet(tiny: NetxModel) -> None:
    small = dense_model([[2, 4]])
    with opened(serialise(tiny), "tiny") as one, opened(serialise(small), "small") as other:
        assert len(one.group("layer").names()) == 6
        assert other.group("layer").names() == ["0"]
