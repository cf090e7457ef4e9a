"""What the plan proves and chooses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neurorobust.backends.engine import make_plan
from neurorobust.backends.engine.synapses import Conv, DelayedDense, Dense
from neurorobust.netx.model import (
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    NetxModel,
    Neuron,
)

CELL = Neuron(np.array(0), np.array(0), np.array(10))


def dense(weight, **fields) -> DenseLayer:
    return DenseLayer(0, (len(weight), 1, 1), CELL, np.array(weight, dtype=np.int64), **fields)


def planned(layer: DenseLayer) -> Dense | DelayedDense:
    synapse = make_plan(NetxModel((layer.weight.shape[1], 1, 1), (layer,))).layers[0].synapse
    assert isinstance(synapse, Dense | DelayedDense)
    return synapse


@pytest.mark.parametrize(
    ("inputs", "dtype", "reason"),
    [
        (65_535, torch.float32, "sum |w| < 2^24"),
        (65_536, torch.float64, "sum |w| >= 2^24"),
    ],
)
def test_float32_up_to_the_bound(inputs, dtype, reason):
    """65,535 weights of -256 stay below 2^24, one more reaches it."""
    weight = np.full((2, inputs), -256)
    weight[1] = 1  # mixed signs: nothing is clipped
    proof = planned(dense(weight)).proof
    assert proof.bound == inputs * 256
    assert proof.dtype == dtype
    assert proof.reason == reason


def test_weights_are_shifted_instead_of_sums_where_no_bit_is_lost():
    """[[3, -5]] is scaled by 2^5; shifting back loses nothing."""
    synapse = planned(dense([[3, -5]]))
    assert synapse.shift == 0
    assert synapse.weight.tolist() == [[3.0, -5.0]]
    assert synapse.proof.bound == 8


def test_a_shift_that_drops_bits_stays_with_the_sum():
    """[[0, -1, -64]] is scaled by 4, and -256 is clipped and truncated to -254."""
    synapse = planned(dense([[0, -1, -64]]))
    assert synapse.shift == 2
    assert synapse.weight.tolist() == [[0.0, -4.0, -254.0]]
    delayed = planned(dense([[0, -1, -64]], delay=np.array([[0, 0, 3]])))
    assert isinstance(delayed, DelayedDense)
    assert (delayed.shift, delayed.bucket_shift) == (0, 2)
    assert [bucket.delay for bucket in delayed.buckets] == [0, 3]


def test_buckets_hold_only_the_inputs_of_their_delay():
    delay = np.array([[0, 2, 2, 5]] * 3)
    synapse = planned(dense(np.arange(1, 13).reshape(3, 4), delay=delay))
    assert isinstance(synapse, DelayedDense)
    assert [bucket.columns.tolist() for bucket in synapse.buckets] == [[0], [1, 2], [3]]
    assert [tuple(bucket.weight.shape) for bucket in synapse.buckets] == [(3, 1), (3, 2), (3, 1)]


def conv_network(inputs: int) -> NetxModel:
    layer = ConvLayer(1, (2, 1, 1), CELL, np.full((2, inputs, 1, 1), -256))
    return NetxModel((inputs, 1, 1), (InputLayer(0, (inputs, 1, 1), None), layer))


@pytest.mark.parametrize(("inputs", "wraps"), [(32_767, False), (32_768, True)])
def test_conv_sums_are_wrapped_only_where_they_can_leave_24_bits(inputs, wraps):
    synapse = make_plan(conv_network(inputs)).layers[0].synapse
    assert isinstance(synapse, Conv)
    assert synapse.wraps is wraps
    assert ("wrapped" in str(synapse)) is wraps


def test_a_weight_beyond_8_bits_is_summed_in_float64():
    layer = ConvLayer(1, (1, 1, 1), CELL, np.full((1, 1, 1, 1), 301))
    model = NetxModel((1, 1, 1), (InputLayer(0, (1, 1, 1), None), layer))
    proof = make_plan(model).layers[0].synapse.proof
    assert proof.dtype == torch.float64
    assert proof.reason == "a weight has more than 8 bits"


def test_int32_is_left_only_by_wide_layers():
    """A step may add 64 |a|, the wrap takes 2^24 off: up to |a| = 2^18 nothing drifts outwards."""
    narrow = make_plan(NetxModel((1024, 1, 1), (dense(np.full((1, 1024), 254)),))).layers[0]
    assert not narrow.leaves_int32(100_000)
    wide = make_plan(NetxModel((4096, 1, 1), (dense(np.full((1, 4096), 254)),))).layers[0]
    assert not wide.leaves_int32(10)
    assert wide.leaves_int32(100)


def test_the_table():
    generator = np.random.default_rng(0)
    kernel = generator.integers(-60, 90, (6, 1, 3, 3))
    weight = generator.integers(-120, 120, (9, 54))
    model = NetxModel(
        (2, 5, 6),
        (
            InputLayer(0, (2, 5, 6), CELL),
            ConvLayer(1, (6, 3, 3), CELL, kernel, None, (2, 2), (1, 1), groups=2),
            FlattenLayer(2, (54, 1, 1)),
            DenseLayer(3, (9, 1, 1), CELL, weight, None, generator.integers(0, 3, weight.shape)),
        ),
    )
    plan = make_plan(model, {1: "float32"})
    lines = str(plan).splitlines()
    bounds = np.abs(kernel).sum((1, 2, 3)).max(), np.abs(weight).sum(1).max()
    assert lines[0] == "engine plan, input (2, 5, 6) (C, H, W)"
    assert [line.split() for line in lines[2:-1]] == [
        ["0", "input", "60", "-", "-", "-", "-", "driven"],
        f"1 conv 54 9 inputs (3x3 kernel) {bounds[0]} 0 float32 sum |w| < 2^24; asked for".split(),
        (
            f"3 dense 9 54 inputs, 3 delays {bounds[1]} 0 float32 sum |w| < 2^24;"
            " delays are summed one by one"
        ).split(),
    ]
    mebibytes = plan.peak_bytes(16, 1) / (1 << 20)
    assert lines[-1] == (
        f"working memory: {mebibytes:.1f} MiB a thread at 16 steps, limit 2048 MiB for all threads"
    )
