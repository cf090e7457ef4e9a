"""What every deployment of a network must do, on whatever target it runs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from neurorobust.backends.base import Backend
from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.netx.model import NetxModel
from neurorobust.readouts import Readout
from neurorobust.types import Inputs, Run
from neurorobust.verify import conformance
from neurorobust.verify.conformance import ATTACKED, Case

Open = Callable[[NetxModel], Backend]
SAMPLES = 8


def _equal(found: Run, wanted: Run) -> None:
    assert torch.equal(found.spikes, wanted.spikes)
    assert torch.equal(found.membrane, wanted.membrane)
    assert found.layers.keys() == wanted.layers.keys()
    for number, trace in wanted.layers.items():
        for name in ("spikes", "u", "v"):
            assert torch.equal(getattr(found.layers[number], name), getattr(trace, name)), (
                f"layer {number}: {name}"
            )


def _defined(backend: Backend, inputs: Inputs) -> Run:
    """The definition's answer; where it is the target itself, the engine's."""
    if backend.name == "reference":
        return EngineBackend(backend.model).run(inputs)
    return ReferenceBackend(backend.model).run(inputs)


def _recorded(case: Case, target: Backend, prefix: str) -> None:
    wanted, inputs = case.recorded, case.inputs(prefix)
    layers = [
        layer.number
        for layer in case.model.running_layers(inputs.driven)
        if f"{prefix}layer{layer.number}/spikes" in wanted
    ]
    run = target.run(inputs, record=layers)
    assert np.array_equal(run.spikes.numpy(), wanted[f"{prefix}spikes"])
    if f"{prefix}membrane" in wanted:
        assert np.array_equal(run.membrane.numpy(), wanted[f"{prefix}membrane"])
    for number in layers:
        for what in ("spikes", "u", "v"):
            key = f"{prefix}layer{number}/{what}"
            if key in wanted:
                found = getattr(run.layers[number], what).numpy()
                assert np.array_equal(found, wanted[key]), key


@pytest.mark.golden("spikes")
def test_golden_spikes_of_every_layer(case: Case, target: Backend) -> None:
    _recorded(case, target, "")


@pytest.mark.golden(f"{ATTACKED}spikes")
def test_golden_spikes_of_attacked_inputs(case: Case, target: Backend) -> None:
    _recorded(case, target, ATTACKED)


@pytest.mark.golden("label")
def test_golden_labels(case: Case, target: Backend) -> None:
    """Those that recorded answers are read out to; where there are none, the labels given."""
    assert case.card is not None
    readout = Readout.of(case.card.readout, case.card.steps, case.card.logit_scale)
    expected = case.recorded["label"]
    if case.holds("spikes", "membrane"):
        spikes, membrane = (torch.from_numpy(case.recorded[key]) for key in ("spikes", "membrane"))
        expected = readout.labels(Run(spikes, membrane, {})).numpy()
    found = readout.labels(target.run(case.inputs()))
    assert found.tolist() == expected.tolist()


def test_the_given_inputs_as_defined(case: Case, target: Backend) -> None:
    """Whether or not anything was recorded for them."""
    inputs = case.inputs() if case.recorded else case.random(SAMPLES, 7)
    few = inputs[:4]
    _equal(target.run(few), _defined(target, few))


def test_the_same_twice(case: Case, target: Backend) -> None:
    """No state outlives a run."""
    inputs = case.random(SAMPLES, 1)
    _equal(target.run(inputs), target.run(inputs))


def test_order_of_samples_does_not_matter(case: Case, target: Backend) -> None:
    """No sample leaks into the next: reversed, the answers are reversed."""
    inputs = case.random(SAMPLES, 2)
    backwards = list(range(SAMPLES))[::-1]
    run, turned = target.run(inputs), target.run(inputs[backwards])
    assert torch.equal(run.spikes[backwards], turned.spikes)
    assert torch.equal(run.membrane[backwards], turned.membrane)


def test_a_sample_alone_and_in_company(case: Case, target: Backend) -> None:
    inputs = case.random(SAMPLES, 3)
    whole, alone = target.run(inputs), target.run(inputs[[SAMPLES - 1]])
    assert torch.equal(whole.spikes[SAMPLES - 1 :], alone.spikes)
    assert torch.equal(whole.membrane[SAMPLES - 1 :], alone.membrane)


@pytest.mark.parametrize("seed", [4, 5])
def test_inputs_nobody_chose_as_defined(case: Case, target: Backend, seed: int) -> None:
    inputs = case.random(SAMPLES, seed)
    wanted = _defined(target, inputs)
    assert int(wanted.spikes.sum()) + int(wanted.membrane.abs().sum()) > 0
    _equal(target.run(inputs), wanted)


def test_a_long_stream_as_defined(case: Case, target: Backend) -> None:
    """One sample of 200 steps: nothing drifts, no counter wraps, no reset comes in between."""
    inputs = case.random(1, 6, steps=200)
    assert inputs.steps == 200
    exact = target.name in ("engine", "reference")
    wanted = _defined(target, inputs) if exact else EngineBackend(case.model).run(inputs)
    _equal(target.run(inputs), wanted)


def _events(model: NetxModel, samples: int, steps: int, rate: float = 0.3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(8)
    shape = (samples, *model.input_shape, steps)
    return (torch.rand(shape, generator=generator) < rate).to(torch.uint8)


def test_resets_clear_what_biases_left(open_target: Open) -> None:
    """A sample of full activity, one of silence, by turns: silence is answered as if alone."""
    model = conformance.biased()
    inputs = _events(model, 6, 11)
    inputs[::2], inputs[1::2] = 1, 0
    wanted = ReferenceBackend(model).run(inputs, (0, 1, 2))
    assert wanted.spikes[1].any()
    _equal(open_target(model).run(inputs, (0, 1, 2)), wanted)


def test_delays_end_with_their_sample(open_target: Open) -> None:
    """Shorter than the delays: most events arrive when their sample is over, and must not."""
    model = conformance.delayed()
    inputs = _events(model, 6, 9, 0.6)
    wanted = ReferenceBackend(model).run(inputs, (0, 1))
    assert wanted.spikes.any()
    _equal(open_target(model).run(inputs, (0, 1)), wanted)


@pytest.mark.parametrize("layers", [1, 4])
def test_an_impulse_comes_out_in_its_own_step(open_target: Open, layers: int) -> None:
    """Latency is hidden, whatever it is: of the layers, of adapters, of the way to a board."""
    model = conformance.relay(layers)
    inputs = torch.zeros(3, 1, 1, 1, 12, dtype=torch.uint8)
    for sample, step in enumerate((0, 5, 11)):
        inputs[sample, ..., step] = 1
    run = open_target(model).run(inputs)
    assert torch.equal(run.spikes[:, 0], inputs[:, 0, 0, 0])


@pytest.mark.hardware
def test_the_board_tells_its_latency_power_and_time(case: Case, target: Backend) -> None:
    target.run(case.random(2, 9))
    told = target.measured()
    assert told["board"]
    assert set(told["latency_steps"]) == {"input", "output", "state"}
    interval = told["reset_interval"]
    assert interval & (interval - 1) == 0
    profile = told["profile"]
    assert "missing" not in profile, profile["missing"]
    assert 0 < profile["static_total_power_w"] <= profile["total_power_w"]
    assert profile["time_per_step_us"] > 0
    assert profile["energy_per_sample_j"] > 0
    assert profile["cores"] >= 1
