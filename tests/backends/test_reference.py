"""The reference: against Lava's own models on random networks, by hand on a small one, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurorobust.backends.base import Backend
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.errors import BadInput, ModelFileError
from neurorobust.fixedpoint import wrap_current
from neurorobust.netx import (
    AverageLayer,
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    NetxModel,
    Neuron,
)
from neurorobust.types import Inputs


def neuron(current_decay=4096, voltage_decay=0, threshold=10):
    return Neuron(
        *(np.array(value).reshape(-1) for value in (current_decay, voltage_decay, threshold))
    )


def spikes(*rows):
    """One sample for a dense network: a row of 0/1 over time for every input."""
    return torch.tensor(rows, dtype=torch.uint8)[None, :, None, None, :]


def dense(weight, number=0, **fields):
    weight = np.array(weight)
    fields.setdefault("neuron", neuron())
    return DenseLayer(number, (len(weight), 1, 1), weight=weight, **fields)


def one_layer(layer, input_shape=None):
    return NetxModel(input_shape or (layer.weight.shape[1], 1, 1), (layer,))


# ---- against Lava


@pytest.mark.lava
@settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(data=st.data())
def test_every_layer_equals_lava(lava_oracle, tiny_networks, data):
    model, inputs = data.draw(tiny_networks)
    truth = lava_oracle(model, inputs)
    run = ReferenceBackend(model).run(inputs, record=tuple(truth))
    assert list(run.layers) == list(truth)
    for number, expected in truth.items():
        for name in ("spikes", "u", "v"):
            got, wanted = getattr(run.layers[number], name), getattr(expected, name)
            assert got.dtype == wanted.dtype
            assert got.shape == wanted.shape
            assert got.equal(wanted), f"layer {number}: {name} {got} instead of {wanted}"
    assert run.spikes.equal(truth[max(truth)].spikes)
    assert run.membrane.equal(truth[max(truth)].v[:, :, -1])


@pytest.mark.lava
@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_layer_equals_lava_on_the_global_clock(lava_oracle, tiny_networks, data):
    """One step of latency a synapse, no resets: biased layers integrate before any data come."""
    model, inputs = data.draw(tiny_networks)
    truth = lava_oracle(model, inputs, clock="global")
    run = ReferenceBackend(model).run(inputs, record=tuple(truth), clock="global")
    for number, expected in truth.items():
        for name in ("spikes", "u", "v"):
            got, wanted = getattr(run.layers[number], name), getattr(expected, name)
            assert got.equal(wanted), f"layer {number}: {name} {got} instead of {wanted}"


@pytest.mark.lava
def test_overflowing_currents_and_saturated_voltages_equal_lava(lava_oracle):
    """1100 maximal weights at once lift u beyond 2^24: it wraps once and stays outside 24 bits."""
    weight = np.repeat([[254], [-256], [254]], 1100, axis=1)
    weight[2, ::2] = -256
    model = one_layer(dense(weight, neuron=neuron(0, 0, (1 << 17) - 1)))
    events = torch.ones(1, 1100, 1, 1, 12, dtype=torch.uint8)
    events[..., 8:] = 0
    truth = lava_oracle(model, events)[0]
    assert truth.u[0, 0].max() > 1 << 23
    assert truth.v[0, 1].min() == 1 - (1 << 23)
    trace = ReferenceBackend(model).run(events, record=[0]).layers[0]
    assert trace.u.equal(truth.u)
    assert trace.v.equal(truth.v)
    assert trace.spikes.equal(truth.spikes)


@pytest.mark.lava
def test_conv_sums_beyond_24_bits_wrap_as_in_lava():
    """No .net file holds such kernels; the rule is Lava's all the same."""
    lava = pytest.importorskip("lava.proc.conv.utils")
    weight = np.array([[[[5 << 20, 3 << 20], [7 << 20, -1]]], [[[-(5 << 20), -(4 << 20)], [0, 9]]]])
    layer = ConvLayer(0, (2, 2, 2), neuron(4096, 4096, 1 << 17), weight)
    frame = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]])
    run = ReferenceBackend(one_layer(layer, (1, 3, 3))).run(
        torch.from_numpy(frame.astype(np.uint8))[None, None, :, :, None], record=[0]
    )
    total = lava.conv(
        frame.T[..., None].astype(bool),
        weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1),
        *((2, 2), (1, 1), (0, 0), (1, 1), 1),
    )
    clamped = lava.signed_clamp(total, bits=24).transpose(2, 1, 0).reshape(-1).astype(np.int64)
    assert np.abs(total).max() > 1 << 23
    assert run.layers[0].u[0, :, 0].tolist() == wrap_current(clamped << 6).tolist()


@pytest.mark.lava
@pytest.mark.parametrize(("groups", "computed"), [(127, 127), (128, 0), (256, 0)])
def test_lava_conv_of_more_than_127_groups_computes_nothing(groups, computed):
    """Why such a layer is refused: its int8 count of groups wraps to a range that is empty."""
    conv = pytest.importorskip("lava.proc.conv.utils").conv
    model = pytest.importorskip("lava.proc.conv.models").PyConvModelFixed
    held = np.zeros(1, model.groups.d_type)
    held[:] = np.array([groups])
    pairs = ((1, 1), (1, 1), (0, 0), (1, 1))
    with np.errstate(divide="ignore"):
        total = conv(np.ones((1, 1, groups), bool), np.ones((groups, 1, 1, 1)), *pairs, held[0])
    assert total.sum() == computed


# ---- by hand


def test_it_is_a_backend():
    backend = ReferenceBackend(one_layer(dense([[2]])))
    assert isinstance(backend, Backend)
    assert backend.name == "reference"


def test_dense_by_hand():
    """Weights 6 and -2, threshold 10, no leak: v / 64 is 6, 10, 16 (a spike: 0), -2."""
    model = one_layer(dense([[6, -2]]))
    run = ReferenceBackend(model).run(spikes([1, 1, 1, 0, 0], [0, 1, 0, 1, 0]), record=[0])
    trace = run.layers[0]
    assert (trace.u[0, 0] // 64).tolist() == [6, 4, 6, -2, 0]
    assert (trace.v[0, 0] // 64).tolist() == [6, 10, 0, -2, -2]
    assert trace.spikes[0, 0].tolist() == [0, 0, 1, 0, 0]
    assert run.spikes.equal(trace.spikes)
    assert run.membrane.tolist() == [[-128]]
    assert [t.dtype for t in (trace.spikes, trace.u, trace.v, run.membrane)] == [
        torch.uint8,
        torch.int32,
        torch.int32,
        torch.int32,
    ]


def test_delays_arrive_late_and_are_shifted_one_by_one():
    """-128 is packed to -255 and a shift of 1: two make -255 in one sum, -256 in two."""
    weight = np.array([[-128, -128, -1, 0]])
    plain = dense(weight, neuron=neuron(4096, 4096, 100))
    delayed = replace(plain, delay=np.array([[0, 2, 0, 0]]))
    silence = [0, 0, 0, 0]
    events = spikes([1, 0, 1, 0], [1, 0, 0, 0], silence, silence)
    for layer, expected in ((plain, [-255, 0, -128, 0]), (delayed, [-128, 0, -256, 0])):
        u = ReferenceBackend(one_layer(layer)).run(events, record=[0]).layers[0].u[0, 0]
        assert (u // 64).tolist() == expected


def test_the_global_clock_is_one_step_late_a_synapse_and_biases_do_not_wait():
    model = NetxModel(
        (1, 1, 1),
        (
            dense([[20]], neuron=neuron(4096, 4096, 10)),
            dense([[2]], 1, neuron=None, bias=np.array([1])),
        ),
    )
    backend, events = ReferenceBackend(model), spikes([1, 0, 1, 0, 0])
    aligned = backend.run(events, record=[0, 1]).layers
    late = backend.run(events, record=[0, 1], clock="global").layers
    assert aligned[0].spikes[0].tolist() == [[1, 0, 1, 0, 0]]
    assert late[0].spikes[0].tolist() == [[0, 1, 0, 1, 0]]
    assert (aligned[1].v[0] // 64).tolist() == [[3, 3, 5, 5, 5]]
    assert (late[1].v[0] // 64).tolist() == [[1, 1, 3, 3, 5]]
    with pytest.raises(BadInput, match="clock: 'chip' unknown, known: aligned, global"):
        backend.run(events, clock="chip")


def test_conv_is_correlation_per_channel_and_flatten_is_channel_first():
    conv = ConvLayer(
        number=1,
        shape=(2, 1, 2),
        neuron=neuron(4096, 4096, [3, 7]),
        weight=np.array([[[[1, 2], [4, 8]]], [[[8, 4], [2, 1]]]]),
    )
    model = NetxModel(
        (1, 2, 3),
        (
            InputLayer(0, (1, 2, 3), None),
            conv,
            FlattenLayer(2, (4, 1, 1)),
            dense(np.diag([2, 4, 6, 8]), number=3, neuron=None),
            AverageLayer(4, (2, 1, 1)),
        ),
    )
    frame = torch.tensor([[[1, 0, 0], [0, 1, 0]]], dtype=torch.uint8)[None, ..., None]
    run = ReferenceBackend(model).run(frame, record=[1, 3])
    assert (run.layers[1].u[0, :, 0] // 64).tolist() == [9, 4, 9, 2]
    assert run.layers[1].spikes[0, :, 0].tolist() == [1, 1, 1, 0]
    assert (run.membrane[0] // 64).tolist() == [2, 4, 6, 0]


def test_accumulator_keeps_the_running_sum():
    model = one_layer(dense([[2], [-4]], neuron=None, bias=np.array([1, 0])))
    run = ReferenceBackend(model).run(spikes([1, 1, 0, 1]), record=[0])
    assert (run.layers[0].u[0] // 64).tolist() == [[2, 4, 4, 6], [-4, -8, -8, -12]]
    assert (run.layers[0].v[0] // 64).tolist() == [[3, 5, 5, 7], [-4, -8, -8, -12]]


def test_drive_enters_the_input_layer_and_spikes_skip_it():
    model = NetxModel(
        (2, 1, 1),
        (InputLayer(0, (2, 1, 1), neuron(4096, 0, 10)), dense([[2, 0], [0, 4]], 1, neuron=None)),
    )
    backend = ReferenceBackend(model)
    drive = Inputs.drive(torch.tensor([[11, 4]], dtype=torch.int32).reshape(1, 2, 1, 1), steps=4)
    run = backend.run(drive, record=[0, 1])
    assert run.layers[0].spikes[0].tolist() == [[1, 1, 1, 1], [0, 0, 1, 0]]
    assert run.layers[0].u.abs().sum() == 0
    assert (run.membrane[0] // 64).tolist() == [8, 4]
    again = backend.run(run.layers[0].spikes.reshape(1, 2, 1, 1, 4), record=[1])
    assert again.layers[1].v.equal(run.layers[1].v)
    with pytest.raises(
        BadInput, match=r"record: layer 0 \(input\) is skipped when spikes are given"
    ):
        backend.run(run.layers[0].spikes.reshape(1, 2, 1, 1, 4), record=[0])


def test_samples_do_not_touch_each_other_and_a_batch_may_be_empty():
    backend = ReferenceBackend(one_layer(dense([[6, -2]], delay=np.array([[0, 1]]))))
    batch = torch.cat([spikes([1, 1], [1, 1]), spikes([0, 0], [0, 0]), spikes([1, 1], [1, 1])])
    run = backend.run(batch, record=[0])
    assert run.layers[0].u[0].equal(run.layers[0].u[2])
    assert run.layers[0].u[1].tolist() == [[0, 0]]
    assert backend.run(batch[:0]).spikes.shape == (0, 1, 2)


# ---- refusals


def conv_layer(shape=(2, 1, 1), weight=(2, 2, 1, 1), **fields):
    return ConvLayer(3, shape, fields.pop("neuron", neuron()), np.ones(weight, int), **fields)


@pytest.mark.parametrize(
    ("layer", "input_shape", "message"),
    [
        (dense([[0, 0]], 3), (2, 1, 1), r"layer 3 \(dense\): dense weights are all zero"),
        (dense([[300, 0]], 3), (2, 1, 1), r"layer 3 \(dense\): weight 300 outside \[-256, 254\]"),
        (dense([[1, 2]], 3), (3, 1, 1), r"layer 3 \(dense\): weight \(1, 2\) does not fit"),
        (dense([[1, 2]], 3), (1, 1, 2), r"layer 3 \(dense\): without a flatten layer"),
        (
            dense([[1], [2], [3]], 3, neuron=neuron(threshold=[1, 2])),
            (1, 1, 1),
            r"layer 3 \(dense\): vThMant has 2 entries, need 1 or 3 \(one a channel\)",
        ),
        (
            conv_layer(bias=np.array([1, 2, 3])),
            (2, 1, 1),
            r"layer 3 \(conv\): bias has 3 entries, need 1 or 2",
        ),
        (conv_layer(stride=(1, 128)), (2, 1, 1), r"layer 3 \(conv\): .* 128 above 127 \(int8"),
        (
            conv_layer(),
            (4, 1, 1),
            r"layer 3 \(conv\): weight \(2, 2, 1, 1\), groups 1 does not fit",
        ),
        (conv_layer(), (2, 2, 1), r"layer 3 \(conv\): shape \(2, 1, 1\), should be \(2, 2, 1\)"),
    ],
)
def test_what_lava_cannot_run_is_refused(layer, input_shape, message):
    with pytest.raises(ModelFileError, match=message):
        ReferenceBackend(one_layer(layer, input_shape))


def test_inputs_and_record_are_checked():
    backend = ReferenceBackend(one_layer(dense([[2, 2]])))
    with pytest.raises(BadInput, match=r"spikes: shape \(3, 1, 1\) does not match"):
        backend.run(spikes([1], [1], [1]))
    with pytest.raises(BadInput, match="spikes: value 2 is neither 0 nor 1"):
        backend.run(spikes([1], [2]))
    with pytest.raises(BadInput, match="record: layer 7 holds no neurons"):
        backend.run(spikes([1], [1]), record=[7])
    with pytest.raises(BadInput, match="no on-chip input layer"):
        backend.run(Inputs.drive(torch.zeros(1, 2, 1, 1, dtype=torch.int32), 1))
