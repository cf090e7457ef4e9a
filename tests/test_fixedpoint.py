"""The integer rules: at their borders by hand, everywhere against Lava's code."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neurorobust.errors import ModelFileError
from neurorobust.fixedpoint import (
    cast_bias,
    clip_voltage,
    decay,
    lif_step,
    pack_dense_weights,
    wrap_current,
    wrap_int32,
    wrap_signed_24,
)

TOP = 1 << 23
INT32 = st.integers(-(1 << 31), (1 << 31) - 1)
DECAYS = st.sampled_from([0, 1, 2, 4095, 4096]) | st.integers(0, 4096)
STATES = st.sampled_from([0, 1, -1, TOP - 1, TOP, TOP + 1, -TOP, 1 - TOP, -TOP - 1]) | INT32
quick = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def array(*values: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


# ---- by hand


@given(x=STATES, factor=DECAYS)
def test_decay_is_its_formula(x, factor):
    sign = (x > 0) - (x < 0)
    assert decay(array(x), factor)[0] == sign * ((abs(x) * (4096 - factor)) >> 12)


def test_decay_rounds_toward_zero_at_both_ends():
    x = array(-4097, -4096, -1, 0, 1, 4095, 4097)
    assert decay(x, 0).tolist() == x.tolist()
    assert decay(x, 4096).tolist() == [0] * 7
    assert decay(x, 1).tolist() == [-4095, -4095, 0, 0, 0, 4094, 4095]
    assert decay(x, 4095).tolist() == [-1, -1, 0, 0, 0, 0, 1]


def test_current_wraps_once_and_keeps_the_positive_end():
    before = array(TOP, TOP + 1, -TOP, -TOP + 1, 3 * TOP, 3 * TOP + 1, -3 * TOP)
    after = [TOP, 1 - TOP, TOP, 1 - TOP, TOP, TOP + 1, -TOP]
    assert wrap_current(before).tolist() == after


def test_voltage_saturates():
    before = array(TOP - 1, TOP, 9 * TOP, 1 - TOP, -TOP)
    assert clip_voltage(before).tolist() == [TOP - 1, TOP - 1, TOP - 1, 1 - TOP, 1 - TOP]


def test_bias_overflows_in_silence():
    assert cast_bias(array(32767, 32768, 40000, -32769)).tolist() == [32767, -32768, -25536, 32767]


def test_spike_needs_more_than_the_threshold_and_leaves_the_current():
    spikes, u, v = lif_step(array(0, 0), array(0, 0), array(10, 11), 0, 0, 0, 10)
    assert spikes.tolist() == [False, True]
    assert u.tolist() == [640, 704]
    assert v.tolist() == [640, 0]


def test_a_threshold_of_two_to_the_17_is_never_reached():
    """Neither by an accumulator: v saturates one below 2^17 << 6."""
    spikes, _, v = lif_step(array(TOP), array(TOP), array(0), 32767, 0, 0, [(1 << 17) - 1, 1 << 17])
    assert spikes.tolist() == [True, False]
    assert v.tolist() == [0, TOP - 1]


def test_int32_and_signed_24_wrap():
    assert wrap_int32(array(1 << 31, -(1 << 31) - 1)).tolist() == [-(1 << 31), (1 << 31) - 1]
    assert wrap_signed_24(array(TOP - 1, TOP, -TOP, -TOP - 1)).tolist() == [
        TOP - 1,
        -TOP,
        -TOP,
        TOP - 1,
    ]


@pytest.mark.parametrize(
    ("weights", "packed", "shift"),
    [
        ([[254, -256]], [[254, -256]], 0),
        ([[2, -4]], [[128, -256]], 6),
        ([[255, 1]], [[255, 1]], 0),
        ([[1, 3]], [[64, 192]], 6),
        ([[-128, -1]], [[-254, -2]], 1),  # the most negative weight becomes -127
        ([[-128, -128]], [[0, 0]], 1),  # and 0 where every bit below was declared empty
        ([[-64, -2]], [[-248, -8]], 2),  # -64 becomes -62
        ([[-129, 0, -1]], [[0, 0, 0]], 0),  # a zero among negatives: a negative shift clears all
    ],
)
def test_packed_weights_by_hand(weights, packed, shift):
    result = pack_dense_weights(np.array(weights))
    assert result.weights.tolist() == packed
    assert result.shift == shift


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([[0, 0]], "dense weights are all zero"),
        ([[256, 0]], r"weight 256 outside \[-256, 254\]"),
        ([[255, -1]], r"weight 255 outside \[-256, 254\]"),
        ([[-257, 0]], r"weight -257 outside \[-256, 254\]"),
    ],
)
def test_weights_lava_would_lose_are_refused(weights, message):
    with pytest.raises(ModelFileError, match=message):
        pack_dense_weights(np.array(weights))


@st.composite
def matrices(draw: st.DrawFn) -> np.ndarray[Any, np.dtype[np.int64]]:
    low, high = draw(st.sampled_from([(-256, 254), (0, 255), (-256, -1), (-256, 0), (-5, 5)]))
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    step = draw(st.sampled_from([1, 2, 16, 64, 128]))
    elements = st.sampled_from([low, high, 0 if low <= 0 <= high else low]) | st.integers(low, high)
    weights = draw(hnp.arrays(np.int64, shape, elements=elements))
    return np.trunc(weights / step).astype(np.int64) * step


@quick
@given(weights=matrices())
def test_a_matrix_with_a_positive_weight_loses_nothing(weights):
    assume(weights.max() > 0)
    packed = pack_dense_weights(weights)
    assert ((packed.weights >> packed.shift) << packed.shift).tolist() == packed.weights.tolist()
    assert (packed.weights >> packed.shift).tolist() == weights.tolist()


# ---- against Lava's code


@pytest.fixture(scope="module")
def lava() -> SimpleNamespace:
    """The classes and functions of Lava that the rules describe."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("lava.lib.dl.netx", reason="needs Lava")
        from lava.lib.dl.netx.utils import optimize_weight_bits
        from lava.proc.conv.utils import signed_clamp
        from lava.proc.dense.models import PyDelayDenseModelBitAcc, PyDenseModelBitAcc
        from lava.proc.lif.models import PyLifModelBitAcc
    return SimpleNamespace(
        lif=PyLifModelBitAcc,
        dense=PyDenseModelBitAcc,
        delay_dense=PyDelayDenseModelBitAcc,
        optimize=optimize_weight_bits,
        signed_clamp=signed_clamp,
    )


def lava_lif_step(
    lif: Any, u: int, v: int, a: int, bias: int, du: int, dv: int, vth: int
) -> tuple[bool, int, int]:
    model = lif({})
    model.u, model.v = np.array([u], np.int32), np.array([v], np.int32)
    model.du, model.dv, model.vth = du - 1, dv, vth  # NetX passes iDecay - 1
    model.bias_mant, model.bias_exp = np.array([0], np.int16), np.array([6], np.int16)
    model.bias_mant[:] = np.array([bias])
    model.a_in = SimpleNamespace(recv=lambda: np.array([a], np.int32))
    model.s_out = SimpleNamespace(send=lambda spikes: None)
    model.run_spk()
    return bool(model.s_out_buff[0]), int(model.u[0]), int(model.v[0])


@pytest.mark.lava
@quick
@given(
    u=STATES,
    v=st.sampled_from([0, TOP - 1, 1 - TOP]) | st.integers(1 - TOP, TOP - 1),
    a=st.integers(-3000, 3000) | st.integers(-(1 << 23), 1 << 23) | INT32,
    bias=st.sampled_from([0, 4095, 32767, 40000, -32769]) | st.integers(-70000, 70000),
    du=DECAYS,
    dv=DECAYS,
    vth=st.sampled_from([0, 1, (1 << 17) - 1, 1 << 17]) | st.integers(0, 1 << 18),
)
@example(u=0, v=0, a=TOP >> 6, bias=0, du=0, dv=0, vth=1 << 17)
@example(u=0, v=0, a=-TOP >> 6, bias=0, du=0, dv=0, vth=1 << 17)
@example(u=TOP, v=TOP - 1, a=1, bias=0, du=0, dv=0, vth=1)
@example(u=(1 << 31) - 1, v=0, a=1, bias=0, du=0, dv=0, vth=1)
@example(u=-(1 << 31), v=1 - TOP, a=-1, bias=-32768, du=0, dv=0, vth=1)
def test_neuron_step_equals_lava(lava, u, v, a, bias, du, dv, vth):
    spikes, after_u, after_v = lif_step(
        array(u), array(v), array(a), cast_bias(array(bias)), du, dv, vth
    )
    expected = lava_lif_step(lava.lif, u, v, a, bias, du, dv, vth)
    assert (bool(spikes[0]), int(after_u[0]), int(after_v[0])) == expected


@pytest.mark.lava
@settings(quick, max_examples=300)
@given(weights=matrices(), delayed=st.booleans())
@example(weights=np.array([[-128, -127]]), delayed=False)
@example(weights=np.array([[-256, 0]]), delayed=False)
@example(weights=np.array([[-255, 0]]), delayed=True)
@example(weights=np.array([[-256, -256]]), delayed=False)
@example(weights=np.array([[254, -256], [1, 0]]), delayed=True)
def test_packed_weights_equal_lava(lava, weights, delayed):
    assume(weights.any())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # 127 / 0
        scaled, bits, exponent, _ = lava.optimize(weights)
    model = (lava.delay_dense if delayed else lava.dense)(
        {"num_weight_bits": bits, "weight_exp": exponent}
    )
    model.weights = scaled.astype(np.int32)
    model.delays = np.zeros_like(model.weights)
    model.a_buff = np.zeros((len(weights), 1) if delayed else len(weights), np.int32)
    model.num_message_bits = np.array([0])
    model.s_in = SimpleNamespace(recv=lambda: np.ones(weights.shape[1], bool))
    model.a_out = SimpleNamespace(send=lambda activation: None)
    model.run_spk()
    packed = pack_dense_weights(weights)
    assert packed.shift == -exponent
    assert packed.weights.tolist() == model.weights.tolist()
    assert (packed.weights.sum(axis=1) >> packed.shift).tolist() == model.a_buff.ravel().tolist()


@pytest.mark.lava
@quick
@given(total=STATES)
def test_conv_sum_wrap_equals_lava(lava, total):
    assert wrap_signed_24(array(total))[0] == lava.signed_clamp(np.array([float(total)]), 24)[0]


@pytest.mark.lava
@pytest.mark.parametrize("weight", [256, 300, -257, 1000])
def test_lava_loses_the_weights_that_are_refused(lava, weight):
    """A one-signed matrix beyond range gets a negative shift, and C clears what it shifts so."""
    scaled, *_ = lava.optimize(np.array([[weight]]))
    assert scaled.tolist() == [[0]]


@pytest.mark.lava
def test_lava_cannot_scale_an_all_zero_matrix(lava):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        with pytest.raises(OverflowError):
            lava.optimize(np.array([[0, 0]]))
