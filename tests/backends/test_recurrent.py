"""Recurrent layers: reference, Lava's own models and the engine; what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.fixedpoint import pack_recurrent_weights
from neurorobust.netx.model import NetxModel, Neuron, RecurrentLayer
from neurorobust.types import LayerTrace, Run


def neuron(current_decay=4096, voltage_decay=4096, threshold=10):
    values = (current_decay, voltage_decay, threshold)
    return Neuron(*(np.array([value]) for value in values))


def recurrent(weight, weight_rec, number=0, **fields):
    weight, weight_rec = np.array(weight), np.array(weight_rec)
    fields.setdefault("neuron", neuron())
    shape = (len(weight), 1, 1)
    return RecurrentLayer(number, shape, weight=weight, weight_rec=weight_rec, **fields)


def alone(layer):
    return NetxModel((layer.weight.shape[1], 1, 1), (layer,))


def spikes(*rows):
    return torch.tensor(rows, dtype=torch.uint8)[None, :, None, None, :]


def assert_same_trace(mine, other, where):
    for name in ("spikes", "u", "v"):
        got, wanted = getattr(mine, name), getattr(other, name)
        assert got.dtype == wanted.dtype
        assert got.shape == wanted.shape
        assert got.equal(wanted), f"{where}: {name} {got} instead of {wanted}"


def test_a_spike_comes_back_one_step_later():
    """Neuron 0 is fed 12 once and tells neuron 1, which tells neuron 0, and so on."""
    layer = recurrent([[12], [0]], [[0, 20], [30, 0]])
    trace = ReferenceBackend(alone(layer)).run(spikes([1, 0, 0, 0]), record=[0]).layers[0]
    assert trace.spikes[0].tolist() == [[1, 0, 1, 0], [0, 1, 0, 1]]
    assert (trace.u[0] // 64).tolist() == [[12, 0, 20, 0], [0, 30, 0, 30]]


@pytest.mark.lava
@pytest.mark.parametrize("clock", ["aligned", "global"])
@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck])
@given(data=st.data())
def test_random_recurrent_networks_equal_lava(lava_oracle, recurrent_networks, clock, data):
    model, inputs = data.draw(recurrent_networks)
    truth = lava_oracle(model, inputs, clock=clock)
    run = ReferenceBackend(model).run(inputs, record=tuple(truth), clock=clock)
    assert list(run.layers) == list(truth)
    for number, expected in truth.items():
        assert_same_trace(run.layers[number], expected, f"layer {number}")


@pytest.mark.lava
@pytest.mark.parametrize(
    ("weight", "weight_rec", "lost"),
    [
        ([[200], [5]], [[0, -201], [7, 0]], 1),
        ([[201], [5]], [[-20, -201], [-7, 0]], 2),
        ([[-128], [-3]], [[20, 100], [7, 0]], 0),
        ([[-5], [-3]], [[0, 0], [0, 0]], 0),
    ],
)
def test_parts_of_one_sign_lose_what_they_lose_in_lava(lava_oracle, weight, weight_rec, lost):
    """`lost` counts the parts that differ from what was stored."""
    model = alone(recurrent(weight, weight_rec, neuron=neuron(threshold=3)))
    packed = pack_recurrent_weights(np.array(weight), np.array(weight_rec))
    kept = [
        np.array_equal(part.weights >> part.shift, given)
        for part, given in zip(packed, (weight, weight_rec), strict=True)
    ]
    assert kept.count(False) == lost
    inputs = spikes([1, 0, 1, 1, 0, 1])
    truth = lava_oracle(model, inputs)[0]
    run = ReferenceBackend(model).run(inputs, record=[0])
    assert_same_trace(run.layers[0], truth, "layer 0")


@pytest.mark.lava
@pytest.mark.slow
@settings(max_examples=1500, deadline=None, suppress_health_check=[*HealthCheck])
@seed(3)
@given(data=st.data())
def test_many_networks_on_both_clocks_equal_lava(
    lava_oracle, tiny_networks, recurrent_networks, data
):
    """Reference, engine and the engine's stream in two chunks."""
    model, inputs = data.draw(st.one_of(recurrent_networks, recurrent_networks, tiny_networks))
    clock = data.draw(st.sampled_from(["aligned", "global"]))
    truth = lava_oracle(model, inputs, clock=clock)
    if not truth:
        return  # spikes for a network that is an on-chip input layer alone
    record, engine = tuple(truth), EngineBackend(model)
    runs = [backend.run(inputs, record, clock) for backend in (ReferenceBackend(model), engine)]
    if not inputs.driven and inputs.steps > 1:
        stream, cut, spikes = engine.stream(record, clock), inputs.steps // 2, inputs.values
        first, second = (
            stream.feed(part).layers for part in (spikes[..., :cut], spikes[..., cut:])
        )
        pairs = {
            number: (vars(trace).values(), vars(second[number]).values())
            for number, trace in first.items()
        }
        layers = {
            number: LayerTrace(*(torch.cat(both, -1) for both in zip(*parts, strict=True)))
            for number, parts in pairs.items()
        }
        runs.append(Run(runs[0].spikes, runs[0].membrane, layers))
    for run in runs:
        assert list(run.layers) == list(truth)
        for number, expected in truth.items():
            assert_same_trace(run.layers[number], expected, f"layer {number}")
