"""Layouts, bfloat16 and packed weights in compiled loops, each against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neurorobust.backends.engine import EngineBackend, bfloat16, event_weights, int8
from neurorobust.backends.engine.forward import fire
from neurorobust.backends.engine.layer import LayerPlan
from neurorobust.backends.engine.layout import internal, public, signals
from neurorobust.backends.engine.loops import compiled
from neurorobust.backends.engine.plan import make_plan
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.netx.model import DenseLayer, InputLayer, NetxModel, Neuron


@pytest.mark.parametrize("steps", [1, 15, 16, 17, 40])
@pytest.mark.parametrize("shape", [(3, 1, 1), (16, 1, 1), (35, 1, 1), (1, 5, 7), (2, 4, 4)])
def test_signals_are_turned(shape, steps):
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 256, (3, *shape, steps), generator=generator, dtype=torch.uint8)
    wanted = values.permute(0, 4, 2, 3, 1).flatten(2)
    assert torch.equal(signals(values), wanted)
    backwards = values.flip(1).transpose(0, 1).contiguous().transpose(0, 1)  # not contiguous
    assert torch.equal(signals(backwards), values.flip(1).permute(0, 4, 2, 3, 1).flatten(2))
    assert torch.equal(signals(values.float()), wanted)
    assert torch.equal(internal(public(wanted, shape), shape), wanted)
    assert signals(values[:0]).shape == (0, steps, wanted.shape[2])


@compiled
def _through(values, found):
    for i in range(len(values)):
        found[i] = bfloat16.narrowed(bfloat16.widened(values[i]), found)


def test_bfloat16_is_rounded_as_torch_does():
    drawn = torch.randn(10_000, generator=torch.Generator().manual_seed(0))
    ties = torch.tensor([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 0.0, -0.0, 3e38, float("inf")])
    values = torch.cat([drawn, drawn * 1e-30, ties])
    halved = torch.empty(len(values), dtype=torch.bfloat16)
    _through(values.numpy(), bfloat16.array(halved))
    assert torch.equal(halved, values.to(torch.bfloat16))
    again = torch.empty(len(values))
    _through(bfloat16.array(halved), again.numpy())
    assert torch.equal(again, halved.to(torch.float32))


@pytest.mark.parametrize("largest", [20, 127, 128])
@pytest.mark.parametrize("shape", [(10, 30), (64, 3), (300, 70)])
def test_halves_are_packed_like_the_weights(shape, largest):
    drawn = np.random.default_rng(0).integers(-largest, min(largest, 127) + 1, shape)
    drawn[0, 0] = -largest
    halves = torch.tensor(drawn, dtype=torch.int8)
    found, wanted = event_weights.pack_as(halves.numpy(), 2.0), event_weights.pack(drawn * 2)
    heaviest = np.sort(np.abs(drawn), axis=1)[:, -event_weights.QUAD :].sum(axis=1).max()
    assert found.quads == (heaviest <= event_weights.NARROW)
    assert np.array_equal(found.blocks * found.factor, wanted.blocks * wanted.factor)
    rows = (torch.rand((9, shape[1]), generator=torch.Generator().manual_seed(0)) < 0.5).byte()
    wanted_sums = rows.float() @ torch.tensor(drawn * 2, dtype=torch.float32).t()
    assert torch.equal(int8.int8_sums(int8.pack_as([halves], 2.0), rows), wanted_sums)


def _network(path: str, weight: int, inputs: int) -> LayerPlan:
    cell = Neuron(np.array(300), np.array(200), np.array(100))
    drawn = np.random.default_rng(0).integers(-weight // 2, weight // 2, (37, inputs)) * 2
    layer = DenseLayer(0, (37, 1, 1), cell, drawn)
    return make_plan(NetxModel((inputs, 1, 1), (layer,)), path).layers[0]


@pytest.mark.usefixtures("int8_at_any_speed")
@pytest.mark.parametrize(
    ("path", "weight", "inputs", "kind"),
    [
        ("event", 60, 40, np.float32),
        ("int8", 60, 40, np.float32),
        ("float32", 254, 4000, np.float64),
        ("float32", 254, 120_000, np.int64),
    ],
)
def test_distances_from_theta_are_those_of_v_rounded(path, weight, inputs, kind):
    steps, layer = 6, _network(path, weight, inputs)
    assert layer.state_dtype(steps) == kind
    generator = torch.Generator().manual_seed(0)
    spikes = (torch.rand((3, steps, inputs), generator=generator) < 0.5).to(torch.uint8)
    whole = fire(layer, spikes, steps, keep_voltage=True)
    near = fire(layer, spikes, steps, keep_distance=True)
    assert torch.equal(near.spikes, whole.spikes)
    assert 0 < int(near.spikes.sum()) < near.spikes.numel()
    assert near.voltage.dtype == torch.bfloat16
    theta = torch.from_numpy(layer.theta).to(torch.float32)
    assert torch.equal(near.voltage, (whole.voltage - theta).to(torch.bfloat16))
    assert torch.equal(near.voltage > 0, whole.spikes > 0)


@pytest.mark.usefixtures("int8_at_any_speed")
@pytest.mark.parametrize(("inputs", "never_wraps"), [(5, True), (6, False)])
@pytest.mark.parametrize("path", ["event", "int8", "float32"])
def test_a_wrap_is_left_out_only_where_u_cannot_reach_it(inputs, never_wraps, path):
    cell = Neuron(np.array(41), np.array(4096), np.array(1 << 17))  # u goes to 100 times its input
    weights = np.vstack([np.full((16, inputs), 254), np.full((3, inputs), -254)])
    model = NetxModel((inputs, 1, 1), (DenseLayer(0, (19, 1, 1), cell, weights),))
    spikes = torch.ones((1, inputs, 1, 1, 900), dtype=torch.uint8)
    engine = EngineBackend(model, path=path)
    assert engine.plan.layers[0].never_wraps == never_wraps
    found, wanted = engine.run(spikes, (0,)), ReferenceBackend(model).run(spikes, (0,))
    assert torch.equal(found.layers[0].u, wanted.layers[0].u)
    assert torch.equal(found.layers[0].v, wanted.layers[0].v)
    highest = int(wanted.layers[0].u.abs().max())
    assert highest > 0.9 * (1 << 23)
    assert torch.equal(engine.run(spikes).membrane, wanted.membrane)
    wrapped = bool((wanted.layers[0].u[0, 0, 1:] < wanted.layers[0].u[0, 0, :-1]).any())
    assert wrapped != never_wraps


def test_what_never_decays_and_what_is_driven_is_not_tame():
    def first(layer):
        return make_plan(NetxModel((3, 1, 1), (layer,))).layers[0]

    weights = np.array([[-2, 4, 6], [8, 10, 12]])
    for decay, never_wraps in ((0, False), (1, True)):
        cell = Neuron(np.array(decay), np.array(0), np.array(64))
        assert first(DenseLayer(0, (2, 1, 1), cell, weights)).never_wraps == never_wraps
    own = Neuron(np.array(4096), np.array(0), np.array(64))
    assert not first(InputLayer(0, (3, 1, 1), own, weight=60.0, bias=4.0)).never_wraps
