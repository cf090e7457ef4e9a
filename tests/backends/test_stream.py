"""The global clock in the engine, and streams: chunks of time equal one long run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.errors import BadInput
from neurorobust.netx.model import DenseLayer, InputLayer, NetxModel, Neuron, RecurrentLayer
from neurorobust.types import Inputs, LayerTrace, Run

CLOCKS = ("aligned", "global")


def assert_same(run: Run, expected: Run) -> None:
    pairs = [(run.spikes, expected.spikes), (run.membrane, expected.membrane)]
    assert list(run.layers) == list(expected.layers)
    for number, trace in run.layers.items():
        other = expected.layers[number]
        pairs += [(trace.spikes, other.spikes), (trace.u, other.u), (trace.v, other.v)]
    for got, wanted in pairs:
        assert got.dtype == wanted.dtype
        assert got.shape == wanted.shape
        assert got.equal(wanted)


def numbers(model, inputs):
    return [layer.number for layer in model.running_layers(inputs.driven)]


def either(data, tiny_networks, recurrent_networks):
    model, inputs = data.draw(st.one_of(tiny_networks, recurrent_networks))
    if model.input_layer is not None and len(model.spiking_layers) == 1:
        inputs = Inputs.drive(torch.full((1, *model.input_shape), 90, dtype=torch.int32), 7)
    return model, inputs


def split(inputs, sizes):
    if inputs.driven:
        return [inputs.first_steps(size) for size in sizes]
    return list(inputs.values.split(sizes, dim=-1))


def joined(runs):
    layers = {
        number: LayerTrace(
            *(
                torch.cat([getattr(run.layers[number], name) for run in runs], -1)
                for name in ("spikes", "u", "v")
            )
        )
        for number in runs[0].layers
    }
    return Run(torch.cat([run.spikes for run in runs], -1), runs[-1].membrane, layers)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck])
@given(data=st.data())
def test_engine_equals_reference_on_the_global_clock(tiny_networks, recurrent_networks, data):
    model, inputs = either(data, tiny_networks, recurrent_networks)
    record = numbers(model, inputs)
    expected = ReferenceBackend(model).run(inputs, record, clock="global")
    assert_same(EngineBackend(model).run(inputs, record, clock="global"), expected)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck])
@given(data=st.data())
def test_chunks_are_one_run_for_any_chunking(tiny_networks, recurrent_networks, data):
    model, inputs = either(data, tiny_networks, recurrent_networks)
    steps = inputs.steps
    sizes = []
    while sum(sizes) < steps:
        sizes.append(data.draw(st.integers(1, steps - sum(sizes))))
    clock, record = data.draw(st.sampled_from(CLOCKS)), numbers(model, inputs)
    engine = EngineBackend(model)
    stream = engine.stream(record, clock=clock)
    runs = [stream.feed(chunk) for chunk in split(inputs, sizes)]
    assert_same(joined(runs), engine.run(inputs, record, clock=clock))


def busy() -> NetxModel:
    """An on-chip input, a recurrent layer, delays up to 62 steps, a recurrent output with bias."""
    rng = np.random.default_rng(4)

    def neuron(threshold, decay=300):
        return Neuron(*(np.array([n]) for n in (1024, decay, threshold)))

    return NetxModel(
        (10, 1, 1),
        (
            InputLayer(0, (10, 1, 1), neuron(900, 0)),
            RecurrentLayer(
                1,
                (40, 1, 1),
                neuron(60),
                rng.integers(-30, 60, (40, 10)),
                rng.integers(-40, 30, (40, 40)),
            ),
            DenseLayer(
                2,
                (30, 1, 1),
                neuron(80),
                rng.integers(-60, 60, (30, 40)),
                delay=rng.integers(0, 63, (30, 40)),
            ),
            RecurrentLayer(
                3,
                (5, 1, 1),
                neuron(70),
                rng.integers(-60, 60, (5, 30)),
                rng.integers(-60, 60, (5, 5)),
                rng.integers(-30, 30, 5),
            ),
        ),
    )


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_long_stream_is_the_definition_in_uneven_chunks(clock):
    model = busy()
    generator = torch.Generator().manual_seed(0)
    events = (torch.rand(3, 10, 1, 1, 400, generator=generator) < 0.2).to(torch.uint8)
    whole = EngineBackend(model).run(events, [1, 2, 3], clock=clock)
    assert all(0.02 < trace.spikes.float().mean() < 0.9 for trace in whole.layers.values())
    one = ReferenceBackend(model).run(events[:1], [1, 2, 3], clock=clock)
    for number, trace in one.layers.items():
        assert trace.v.equal(whole.layers[number].v[:1])
    stream = EngineBackend(model).stream([1, 2, 3], clock=clock)
    runs = [stream.feed(chunk) for chunk in events.split([1, 61, 1, 2, 200, 63, 1, 71], dim=-1)]
    assert_same(joined(runs), whole)


def test_drive_may_change_from_chunk_to_chunk():
    model, drives = busy(), [torch.full((2, 10, 1, 1), n, dtype=torch.int32) for n in (500, -70)]
    stream = EngineBackend(model).stream([0, 3])
    runs = [stream.feed(Inputs.drive(drive, 9)) for drive in drives]
    spikes = torch.cat([run.layers[0].spikes for run in runs], -1)
    assert spikes[..., :9].any()
    assert not spikes[..., 9:].any()
    fed = EngineBackend(model).run(spikes.view(2, 10, 1, 1, 18), [3], clock="global")
    assert torch.cat([run.layers[3].v for run in runs], -1).equal(fed.layers[3].v)


def test_chunks_must_fit_each_other():
    model = busy()
    stream = EngineBackend(model).stream()
    stream.feed(torch.zeros(2, 10, 1, 1, 3, dtype=torch.uint8))
    with pytest.raises(BadInput, match="stream: 1 samples of spikes, began with 2 of spikes"):
        stream.feed(torch.zeros(1, 10, 1, 1, 3, dtype=torch.uint8))
    with pytest.raises(BadInput, match="stream: 2 samples of drive, began with 2 of spikes"):
        stream.feed(Inputs.drive(torch.zeros(2, 10, 1, 1, dtype=torch.int32), 3))
    with pytest.raises(BadInput, match=r"record: layer 0 \(input\) is skipped"):
        EngineBackend(model).stream([0]).feed(torch.zeros(2, 10, 1, 1, 3, dtype=torch.uint8))
    with pytest.raises(BadInput, match="record: layer 9 holds no neurons"):
        EngineBackend(model).stream([9])
    with pytest.raises(BadInput, match="clock: 'local' unknown, known: aligned, global"):
        EngineBackend(model).stream(clock="local")
    with pytest.raises(BadInput, match="clock: 'local' unknown, known: aligned, global"):
        EngineBackend(model).run(torch.zeros(2, 10, 1, 1, 3, dtype=torch.uint8), clock="local")
