from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurorobust.hardware.energy import Counts, count, fan_out
from neurorobust.netx import ConvLayer, DenseLayer, NetxModel, Neuron, RecurrentLayer
from neurorobust.netx.chain import conv_output

CUBA = Neuron(np.array([1024]), np.array([128]), np.array([80]))


@given(st.data())
def test_the_fan_out_of_a_convolution_counts_every_synapse(data: st.DataObject) -> None:
    """Against a walk over all outputs and taps."""
    number = st.integers
    groups = data.draw(number(1, 2))
    height, width = data.draw(number(3, 6)), data.draw(number(3, 6))
    pair = st.tuples(number(1, 2), number(1, 2))
    kernel = data.draw(number(1, 3)), data.draw(number(1, 3))
    layer = ConvLayer(
        number=1, shape=(1, 1, 1), neuron=CUBA,
        weight=np.ones((2 * groups, 2, *kernel), dtype=int),
        stride=data.draw(pair), dilation=(1, 1), groups=groups,
        padding=data.draw(st.tuples(number(0, 2), number(0, 2))),
    )  # fmt: skip
    rows, columns = conv_output(layer, height, width)
    layer = ConvLayer(**(vars(layer) | {"shape": (2 * groups, rows, columns)}))
    wanted = np.zeros((2 * groups, height, width), dtype=np.int64)
    for out in range(2 * groups):
        group = out // 2
        for row, column in np.ndindex(rows, columns):
            for tap_row, tap_column in np.ndindex(*layer.weight.shape[2:]):
                y = row * layer.stride[0] - layer.padding[0] + tap_row
                x = column * layer.stride[1] - layer.padding[1] + tap_column
                if 0 <= y < height and 0 <= x < width:
                    wanted[2 * group : 2 * group + 2, y, x] += 1
    assert np.array_equal(fan_out(layer, (2 * groups, height, width)), wanted.reshape(-1))


def test_the_operations_of_a_run() -> None:
    rng = np.random.default_rng(0)
    hidden = RecurrentLayer(
        0, (4, 1, 1), CUBA, np.ones((4, 6), dtype=np.int64), np.ones((4, 4), dtype=np.int64)
    )
    model = NetxModel(
        (6, 1, 1), (hidden, DenseLayer(1, (3, 1, 1), CUBA, np.ones((3, 4), dtype=np.int64)))
    )
    first, one, two = (rng.integers(0, 2, (2, n, 5)).astype(np.uint8) for n in (6, 4, 3))
    found = count(model, {0: one, 1: two}, first)
    fired, given = int(one.sum()), int(first.sum())
    assert found[0] == Counts(0, 4 * given + 4 * fired, 2 * 4 * 5, fired, fired)
    assert found[1] == Counts(1, 3 * fired, 2 * 3 * 5, int(two.sum()), int(two.sum()))


def test_energy_is_by_loihi_1s_figures() -> None:
    row = Counts(0, 1000, 100, 30, 20)
    wanted = 1000 * 23.6 + 30 * 81 + 70 * 52 + 20 * 1.7
    assert row.joules == pytest.approx(wanted * 1e-12)
