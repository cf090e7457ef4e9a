"""Attacks on the deployment: planted wraps, counted operations, two clocks that disagree."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neurorobust.attacks.deployment import DEPLOYMENT, OBJECTIVES
from neurorobust.attacks.deployment.energy import fan_outs
from neurorobust.attacks.spike_view import spike_view
from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.engine.overflow import before_wrap, bounds, wraps
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.budgets import ImageBudget, SpikeBudget, inside
from neurorobust.classifier import Classifier
from neurorobust.encoders import DirectEncoder
from neurorobust.errors import BadInput
from neurorobust.hardware.energy import count
from neurorobust.netx.model import (
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    NetxModel,
    Neuron,
    RecurrentLayer,
)
from neurorobust.readouts import Readout
from neurorobust.types import Inputs

STEPS = 8


def cell(current: int = 1024, voltage: int = 256, threshold: int = 60) -> Neuron:
    return Neuron(np.array(current), np.array(voltage), np.array(threshold))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def wrapping(inputs: int = 600) -> Classifier:
    """600 inputs of weight 250: all at once for one step stay inside 24 bits, often enough not."""
    layer = DenseLayer(0, (2, 1, 1), cell(0, 4096, 1 << 16), np.full((2, inputs), 250))
    model = NetxModel((inputs, 1, 1), (layer,))
    return Classifier(DirectEncoder((inputs, 1, 1)), EngineBackend(model), Readout("count", 1.0))


def test_the_bound_of_a_network_that_wraps():
    """u of one step is at most 600 * 250 * 64 = 9,600,000, above 2^23 = 8,388,608."""
    backend = wrapping().backend
    (one,) = bounds(backend, 1)
    assert 9_600_000 <= one.current <= 9_600_064
    assert one.can_wrap
    (few,) = bounds(wrapping(500).backend, 1)
    assert 8_000_000 <= few.current <= 8_000_064
    assert not few.can_wrap


def test_wraps_are_found_by_flips():
    """Half the inputs are on for 3 steps: 2.4 million a step, 7.2 in all; a few more wrap."""
    classifier = wrapping()
    x = torch.zeros((3, 600, 1, 1, STEPS), dtype=torch.uint8)
    x[:, :150, 0, 0, :3] = 1
    labels = torch.zeros(3, dtype=torch.int64)
    attack, budget = DEPLOYMENT["overflow-flips"], SpikeBudget(100)
    assert wraps(before_wrap(classifier.backend, Inputs.of(x), 0)).tolist() == [0, 0, 0]
    found = attack(classifier, x, labels, budget, generator())
    assert inside(found, x, budget).all()
    assert (wraps(before_wrap(classifier.backend, Inputs.of(found), 0)) > 0).all()
    little = attack(classifier, x, labels, SpikeBudget(10), generator())
    assert wraps(before_wrap(classifier.backend, Inputs.of(little), 0)).tolist() == [0, 0, 0]
    assert (OBJECTIVES["overflow"].value(classifier, little, labels, generator()) < 1).all()


@pytest.mark.parametrize("seed", range(3))
def test_u_before_the_wrap_is_what_wraps_to_the_recorded_u(seed):
    """Conv, recurrent, delays: wrapped once, it is the reference's u."""
    rng = np.random.default_rng(seed)

    def weight(*shape: int):
        return 2 * rng.integers(-100, 120, shape)

    layers = (
        InputLayer(0, (2, 4, 4), None),
        ConvLayer(1, (3, 3, 3), cell(), weight(3, 2, 2, 2)),
        FlattenLayer(2, (27, 1, 1)),
        RecurrentLayer(3, (6, 1, 1), cell(), weight(6, 27), weight(6, 6)),
        DenseLayer(4, (4, 1, 1), cell(0), weight(4, 6), None, rng.integers(0, 3, (4, 6))),
    )
    model = NetxModel((2, 4, 4), layers)
    x = torch.from_numpy((rng.random((3, 2, 4, 4, STEPS)) < 0.5).astype(np.uint8))
    traces = ReferenceBackend(model).run(x, [1, 3, 4]).layers
    for bound in bounds(EngineBackend(model), STEPS):
        current = before_wrap(EngineBackend(model), Inputs.of(x), bound.layer)
        channels = layers[bound.layer].shape[0]
        public = current.reshape(3, STEPS, -1, channels).transpose(0, 3, 2, 1).reshape(3, -1, STEPS)
        assert np.array_equal(public, traces[bound.layer].u.numpy())  # none of them wraps
        assert np.abs(current).max() <= bound.current
    with pytest.raises(BadInput, match="overflow: layer 2 has no synapses"):
        before_wrap(EngineBackend(model), Inputs.of(x), 2)


def test_where_nothing_can_wrap_x_stays(spiking):
    classifier = spiking("drive")
    x = torch.rand((4, 1, 4, 4), generator=generator())
    found = DEPLOYMENT["overflow"](
        classifier, x, classifier.predict(x), ImageBudget(0.2), generator()
    )
    assert torch.equal(found, x)


@pytest.mark.parametrize("encoder", ["drive", "direct"])
def test_operations_are_counted_as_the_hardware_room_counts_them(spiking, encoder):
    classifier = spiking(encoder)
    model = classifier.backend.model
    x = torch.rand((5, 1, 4, 4), generator=generator())
    if encoder == "direct":
        x = (torch.rand((5, 16, 1, 1, STEPS), generator=generator()) < 0.4).byte()
    _, first = spike_view(classifier, x)
    inputs = classifier.encoder.encode(x)
    numbers = [layer.number for layer in model.spiking_layers]
    traces = classifier.backend.run(inputs, numbers).layers
    whole = count(
        model,
        {number: traces[number].spikes.numpy() for number in numbers},
        first.flatten(1, 3).numpy(),
    )
    labels = torch.zeros(5, dtype=torch.int64)
    mine = OBJECTIVES["energy"].value(classifier, x, labels, generator())
    assert int(mine.sum()) == sum(layer.synaptic_operations for layer in whole)
    assert int(mine.sum()) > 0


def test_fan_out_of_a_recurrent_layer_counts_itself():
    layers = (
        InputLayer(0, (3, 1, 1), None),
        RecurrentLayer(1, (4, 1, 1), cell(), np.ones((4, 3)) * 2, np.ones((4, 4)) * 2),
        DenseLayer(2, (5, 1, 1), cell(), np.ones((5, 4)) * 2),
    )
    costs = fan_outs(NetxModel((3, 1, 1), layers))
    assert {number: cost.tolist() for number, cost in costs.items()} == {
        -1: [4.0] * 3,
        1: [9.0] * 4,
    }


@pytest.mark.parametrize("kind", ["eps", "flips"])
def test_energy_beats_random_changes(spiking, kind):
    classifier = spiking("drive" if kind == "eps" else "direct")
    goal = OBJECTIVES["energy"]
    labels = torch.zeros(16, dtype=torch.int64)
    if kind == "eps":
        x = torch.rand((16, 1, 4, 4), generator=generator())
        budget, attack = ImageBudget(0.1), DEPLOYMENT["energy"]
        noise = 0.1 * torch.randn(x.shape, generator=generator()).sign()
        blind = (x + noise).clamp(0, 1)
    else:
        x = (torch.rand((16, 16, 1, 1, STEPS), generator=generator()) < 0.3).byte()
        budget, attack = SpikeBudget(8), DEPLOYMENT["energy-flips"]
        blind = x.clone().flatten(1)
        for row in blind:
            row[torch.randperm(len(row), generator=generator())[:8]] ^= 1
        blind = blind.view_as(x)
    found = attack(classifier, x, labels, budget, generator())
    assert inside(found, x, budget).all()
    clean, mine, other = (
        goal.value(classifier, one, labels, generator()).sum() for one in (x, found, blind)
    )
    assert mine > clean
    assert mine > other
    assert torch.equal(found, attack(classifier, x, labels, budget, generator()))
    nothing = ImageBudget(0.0) if kind == "eps" else SpikeBudget(0)
    assert torch.equal(attack(classifier, x, labels, nothing, generator()), x)


def test_two_clocks_disagree_where_planted():
    """The last step decides: on the global clock it is not seen."""
    layer = DenseLayer(0, (2, 1, 1), cell(4096, 4096, 50), np.array([[60, -2], [-2, 60]]))
    model = NetxModel((2, 1, 1), (layer,))
    classifier = Classifier(DirectEncoder((2, 1, 1)), EngineBackend(model), Readout("count", 1.0))
    x = torch.zeros((2, 2, 1, 1, STEPS), dtype=torch.uint8)
    x[:, 0, 0, 0, 1] = 1  # class 0 once
    x[:, 1, 0, 0, 2] = 1  # class 1 once: a tie, 0 wins
    x[:, 1, 0, 0, 4] = 1  # class 1 twice
    labels = torch.ones(2, dtype=torch.int64)
    goal, budget = OBJECTIVES["truncation"], SpikeBudget(2)
    assert (goal.value(classifier, x, labels, generator()) < 0.5).all()
    found = DEPLOYMENT["truncation-flips"](classifier, x, labels, budget, generator())
    assert inside(found, x, budget).all()
    assert (goal.value(classifier, found, labels, generator()) >= 0.5).all()
    aligned, late = (
        classifier.readout.labels(classifier.backend.run(found, clock=clock))
        for clock in ("aligned", "global")
    )
    assert aligned.tolist() == [1, 1]
    assert late.tolist() == [0, 0]
    with pytest.raises(BadInput, match="truncation: 1 steps, not above the latency of 1 synapses"):
        DEPLOYMENT["truncation-flips"](classifier, x[..., :1], labels, budget, generator())


@pytest.mark.parametrize("name", DEPLOYMENT)
def test_another_backend_or_budget_is_refused(name, spiking):
    attack = DEPLOYMENT[name]
    classifier = spiking("drive" if attack.kind == "eps" else "direct")
    x = torch.zeros((1, 1, 4, 4) if attack.kind == "eps" else (1, 16, 1, 1, STEPS))
    x = x if attack.kind == "eps" else x.byte()
    labels = torch.zeros(1, dtype=torch.int64)
    wrong = SpikeBudget(1) if attack.kind == "eps" else ImageBudget(0.1)
    with pytest.raises(BadInput, match=f"{name}: needs a budget on"):
        attack(classifier, x, labels, wrong, generator())
    slow = Classifier(
        classifier.encoder, ReferenceBackend(classifier.backend.model), classifier.readout
    )
    with pytest.raises(BadInput, match=f"{name}: needs the engine, not reference"):
        attack(slow, x, labels, wrong, generator())
