from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from neurorobust.hardware.fit import fit
from neurorobust.hardware.limits import LOIHI1_ENERGY, LOIHI2
from neurorobust.netx import ConvLayer, DenseLayer, InputLayer, NetxModel, Neuron, RecurrentLayer

CUBA = Neuron(np.array([1024]), np.array([128]), np.array([80]))


def dense(*sizes: int, **fields: Any) -> NetxModel:
    layers = [
        DenseLayer(n, (out, 1, 1), CUBA, np.ones((out, size), dtype=np.int64), **fields)
        for n, (size, out) in enumerate(pairwise(sizes))
    ]
    return NetxModel((sizes[0], 1, 1), tuple(layers))


def test_the_tutorials_network_takes_the_cores_that_its_compiler_took() -> None:
    """784-128-64-10 took 5 cores, 3 + 1 + 1, in lava's tutorial log."""
    found = fit(dense(784, 128, 64, 10))
    assert [layer.cores for layer in found.layers] == [3, 1, 1]
    assert found.fits
    assert found.margin == pytest.approx(1 - 5 / 120)


def test_a_layer_takes_no_fewer_cores_than_any_limit_asks_for() -> None:
    (wide,) = fit(dense(1, 9000)).layers
    assert wide.cores == 3  # 4096 neurons a core
    (deep,) = fit(dense(2000, 64)).layers
    assert deep.cores * LOIHI2["memory"].value >= 2000 * 64 * 8 / 32
    assert all(0 < share <= 1 for share in deep.use().values())


def test_delays_cost_memory() -> None:
    plain, late = fit(dense(784, 128)), fit(dense(784, 128, delay=np.full((128, 784), 9)))
    assert late.cores > plain.cores
    assert (plain.layers[0].delay, late.layers[0].delay) == (0, 9)


def test_what_no_core_holds_does_not_fit() -> None:
    (layer,) = fit(dense(20_000, 2)).layers
    assert layer.cores == 0
    assert not fit(dense(20_000, 2)).fits
    assert not fit(dense(*[1500] * 9)).fits  # more cores than a chip has
    assert fit(dense(*[1500] * 9)).margin < 0


def test_a_convolution_is_cut_into_rows() -> None:
    layers = (
        InputLayer(0, (2, 64, 64), CUBA),
        ConvLayer(1, (8, 62, 62), CUBA, np.ones((8, 2, 3, 3), dtype=np.int64)),
    )
    first, conv = fit(NetxModel((2, 64, 64), layers)).layers
    assert (first.cores, first.axons, first.memory) == (2, 0, 0)
    assert conv.cores == 8  # ceil(62 / 8) = 8 rows of 8 * 62 neurons are 3968
    assert conv.axons == 2 * 64 * 10  # rows that 8 rows of a 3 x 3 kernel see
    assert conv.memory == 8 * 2 * 9 * 8 // 32


def test_a_recurrent_layer_hears_itself() -> None:
    weights = np.ones((20, 30), dtype=np.int64), np.ones((20, 20), dtype=np.int64)
    (layer,) = fit(NetxModel((30, 1, 1), (RecurrentLayer(0, (20, 1, 1), CUBA, *weights),))).layers
    assert layer.axons == 50


def test_every_figure_says_where_it_is_from() -> None:
    for limit in (*LOIHI2.values(), *LOIHI1_ENERGY.values()):
        assert limit.value > 0
        assert len(limit.source) > 10
