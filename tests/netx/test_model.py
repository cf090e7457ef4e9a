"""What layers and networks tell of themselves, so that nobody asks by type."""

from dataclasses import fields
from typing import get_args

import numpy as np
import pytest

from neurorobust.errors import BadInput
from neurorobust.netx.model import (
    AverageLayer,
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    NetxModel,
    Neuron,
    RecurrentLayer,
    SynapseLayer,
)

CELL = Neuron.of(100, 200, 30)
DENSE = DenseLayer(3, (2, 1, 1), CELL, np.array([[1, 2, 3], [4, 5, 6]]), np.array([7, 8]))
RECURRENT = RecurrentLayer(
    4, (2, 1, 1), CELL, np.array([[1, 2], [3, 4]]), np.array([[5, 6], [7, 8]])
)
CONV = ConvLayer(1, (1, 3, 1), CELL, np.array([[[[1], [2]]]]))
WITHOUT = [InputLayer(0, (1, 4, 1), CELL), FlattenLayer(2, (3, 1, 1)), AverageLayer(5, (1, 1, 1))]


def test_every_field_of_weights_is_a_matrix():
    for kind in get_args(SynapseLayer):
        held = {field.name for field in fields(kind) if field.name.startswith("weight")}
        assert held == set(kind.matrix_names) != set(), kind


def test_matrices_are_the_stored_weights_themselves():
    assert DENSE.matrices() == {"weight": DENSE.weight}
    assert CONV.matrices()["weight"] is CONV.weight
    assert list(RECURRENT.matrices()) == ["weight", "weight_rec"]
    assert RECURRENT.matrices()["weight_rec"] is RECURRENT.weight_rec
    assert [layer.matrices() for layer in WITHOUT] == [{}, {}, {}]


def test_other_matrices_leave_everything_else():
    turned = RECURRENT.with_matrices({"weight_rec": -RECURRENT.weight_rec})
    assert type(turned) is RecurrentLayer
    assert np.array_equal(turned.weight_rec, -RECURRENT.weight_rec)
    for field in fields(RECURRENT):
        if field.name != "weight_rec":
            assert getattr(turned, field.name) is getattr(RECURRENT, field.name), field.name
    for layer in WITHOUT:
        assert vars(layer.with_matrices({})) == vars(layer)


def test_a_matrix_that_a_layer_does_not_have_is_refused():
    with pytest.raises(BadInput, match=r"layer 3 \(dense\): no matrix 'bias', known: weight$"):
        DENSE.with_matrices({"weight": DENSE.weight, "bias": np.array([0, 0])})
    with pytest.raises(BadInput, match=r"layer 0 \(input\): no matrix 'weight', known: none"):
        WITHOUT[0].with_matrices({"weight": DENSE.weight})


def test_a_network_of_other_layers_is_no_longer_the_file():
    model = NetxModel((1, 4, 1), (WITHOUT[0], CONV), sha256="0" * 64, path="model.net")
    made = model.with_layers([WITHOUT[0]])
    assert made.layers == (WITHOUT[0],)
    assert (made.sha256, made.path, made.input_shape) == ("", "", (1, 4, 1))


def test_spikes_skip_the_on_chip_input_layer_and_drive_does_not():
    model = NetxModel((1, 4, 1), (WITHOUT[0], CONV, WITHOUT[1], DENSE))
    assert model.running_layers(driven=True) == (WITHOUT[0], CONV, DENSE)
    assert model.running_layers(driven=False) == (CONV, DENSE)
    shape_only = NetxModel((1, 4, 1), (InputLayer(0, (1, 4, 1), None), CONV))
    assert shape_only.running_layers(driven=False) == (CONV,)


def test_a_neuron_is_made_of_numbers_or_of_one_number_a_channel():
    neuron = Neuron.of(1, [2, 3], np.array([4, 5]))
    assert [values.tolist() for values in vars(neuron).values()] == [[1], [2, 3], [4, 5]]
    assert {values.dtype for values in vars(neuron).values()} == {np.dtype(np.int64)}
