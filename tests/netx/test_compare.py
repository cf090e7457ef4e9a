from dataclasses import replace

import numpy as np
import pytest

from neurorobust.netx import NetxModel, Neuron
from neurorobust.netx.compare import difference


@pytest.mark.parametrize(
    ("number", "change", "found"),
    [
        (0, {"weight": 2.0}, "layer 0 (input): weight differs"),
        (0, {"neuron": None}, "layer 0 (input): neuron differs"),
        (1, {"weight": np.zeros((4, 1, 3, 2))}, "layer 1 (conv): weight differs"),
        (1, {"bias": None}, "layer 1 (conv): bias differs"),
        (1, {"stride": (1, 2)}, "layer 1 (conv): stride differs"),
        (1, {"groups": 1}, "layer 1 (conv): groups differs"),
        (3, {"delay": np.zeros((3, 60))}, "layer 3 (dense): delay differs"),
        (
            3,
            {"neuron": Neuron(np.array([1024]), np.array([129]), np.array([80]))},
            "layer 3 (dense): neuron.voltage_decay differs",
        ),
        (5, {"shape": (3, 1, 1)}, "layer 5 (average): shape differs"),
    ],
)
def test_names_the_field(
    tiny: NetxModel, number: int, change: dict[str, object], found: str
) -> None:
    layers = list(tiny.layers)
    layers[number] = replace(layers[number], **change)
    assert difference(tiny, replace(tiny, layers=tuple(layers))) == found


def test_names_what_is_not_a_field(tiny: NetxModel) -> None:
    fed = replace(tiny, input_shape=(1, 1, 1))
    assert difference(tiny, fed) == "input shape (2, 6, 6) and (1, 1, 1)"
    assert difference(tiny, replace(tiny, layers=tiny.layers[:5])) == "6 and 5 layers"
    swapped = (*tiny.layers[:4], tiny.layers[5], tiny.layers[4])
    assert difference(tiny, replace(tiny, layers=swapped)) == "layer 4 (dense): type differs"


def test_equal_by_meaning(tiny: NetxModel) -> None:
    dense = tiny.layers[4]
    zeros = replace(dense, delay=np.zeros((6, 3), dtype=np.int64), weight=dense.weight.astype("i1"))
    scalar = Neuron(np.array(1024), np.array(128), np.array(80))
    layers = (*tiny.layers[:3], replace(tiny.layers[3], neuron=scalar), zeros, tiny.layers[5])
    assert difference(tiny, replace(tiny, layers=layers, sha256="x", path="y")) is None
