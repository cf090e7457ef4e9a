"""State leak: what one sample leaves behind, with and without resets, and the search for it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.classifier import Classifier
from neurorobust.encoders import DirectEncoder, DriveEncoder
from neurorobust.errors import BadInput
from neurorobust.faults.leak import LeakSearch
from neurorobust.faults.sequence import REGIMES, Sequence
from neurorobust.netx.model import DenseLayer, InputLayer, NetxModel, Neuron
from neurorobust.readouts import Readout

STEPS = 6


def cell(keeps: bool, threshold: int = 50) -> Neuron:
    decay = 0 if keeps else 4096
    return Neuron(np.array(4096), np.array(decay), np.array(threshold))


def two_classes(keeps: bool = False, delay: int = 0) -> Classifier:
    """Input i speaks for class i; neurons forget at once unless `keeps`; synapses may be slow."""
    weight = np.array([[40, -10], [-10, 40]]) if keeps else np.array([[60, -4], [-4, 60]])
    delays = np.full((2, 2), delay) if delay else None
    layer = DenseLayer(0, (2, 1, 1), cell(keeps), weight, None, delays)
    model = NetxModel((2, 1, 1), (layer,))
    return Classifier(DirectEncoder((2, 1, 1)), EngineBackend(model), Readout("count", 1.0))


def sample(*rows: list[int]) -> torch.Tensor:
    """`[1, 2, 1, 1, STEPS]`."""
    return torch.tensor(rows, dtype=torch.uint8).view(1, 2, 1, 1, STEPS)


WEAK = sample([1, 0, 0, 0, 0, 0], [0] * STEPS)  # one spike for class 0, as early as can be
LABEL = torch.tensor([0])


def search(classifier, name, victims=WEAK, labels=LABEL, rounds=60):
    pool = torch.cat([victims, torch.zeros_like(victims)])
    generator = torch.Generator().manual_seed(0)
    return LeakSearch(rounds)(classifier, REGIMES[name], victims, labels, pool, generator)


def test_delayed_events_leak_through_resets():
    """Delays of 2: what came in the last two steps arrives in the next sample, reset or not."""
    classifier = two_classes(delay=2)
    for name in REGIMES:
        found = search(classifier, name)
        assert found.alone.correct == 1
        assert found.crafted.correct == 0
        assert found.leaks
    prompt = search(two_classes(), "staggered")
    assert prompt.crafted.correct == prompt.alone.correct == 1
    assert not prompt.leaks


def test_what_is_left_behind_is_what_one_long_run_gives():
    """Without resets the second answer is the second half of one run, in the reference too."""
    classifier = two_classes(keeps=True, delay=2)
    generator = torch.Generator().manual_seed(1)
    first, second = (torch.rand((2, 5, 2, 1, 1, STEPS), generator=generator) < 0.5).byte()
    run = Sequence(classifier, REGIMES["none"]).last(first, second)
    whole = ReferenceBackend(classifier.backend.model).run(torch.cat([first, second], -1))
    assert torch.equal(run.spikes, whole.spikes[..., STEPS:])
    alone = Sequence(classifier, REGIMES["none"]).last(second)
    assert not torch.equal(run.spikes, alone.spikes)


def test_resets_clear_u_and_v_alone():
    """A neuron that never forgets leaks without resets; with them nothing is left."""
    classifier = two_classes(keeps=True)
    victim = sample([1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0])
    without, staggered = (search(classifier, name, victim) for name in ("none", "staggered"))
    assert without.alone.correct == 1
    assert without.crafted.correct == 0
    assert staggered.crafted.correct == 1


def test_a_synapse_buffer_leaks_where_all_are_reset_at_once():
    """On the global clock the first step of a sample is the last of the one before."""
    classifier = two_classes()
    last = sample([0] * STEPS, [0, 0, 0, 0, 0, 1])
    spikes = Sequence(classifier, REGIMES["at-once"]).last(last, torch.zeros_like(last)).spikes
    assert spikes[0].tolist() == [[0] * STEPS, [1, 0, 0, 0, 0, 0]]
    clean = Sequence(classifier, REGIMES["staggered"]).last(last, torch.zeros_like(last)).spikes
    assert not clean.any()


def test_drive_and_a_batch_of_victims():
    own = Neuron(np.array(4096), np.array(0), np.array(64))
    rng = np.random.default_rng(0)
    layers = (
        InputLayer(0, (16, 1, 1), own, weight=60.0, bias=4.0),
        DenseLayer(1, (3, 1, 1), cell(True, 64), 2 * rng.integers(-40, 50, (3, 16))),
    )
    classifier = Classifier(
        DriveEncoder((16, 1, 1), 60.0, 4.0, 0.5, 0.5, STEPS),
        EngineBackend(NetxModel((16, 1, 1), layers)),
        Readout("count", 1.0),
    )
    x = torch.rand((7, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    labels = classifier.predict(x)
    found = [search(classifier, name, x, labels) for name in REGIMES]
    for one in found:
        assert one.crafted.correct <= one.natural.correct <= one.control.correct
        assert one.predecessor.shape == x.shape
        assert one.predecessor.min() >= 0
        assert one.predecessor.max() <= 1
    assert found[0].alone.correct == 7
    assert found[0].crafted.correct < 7
    assert found[1].crafted.correct == 7
    again = search(classifier, "none", x, labels)
    assert torch.equal(again.predecessor, found[0].predecessor)


def test_what_does_not_work_is_refused():
    classifier = two_classes()
    slow = Classifier(
        classifier.encoder, ReferenceBackend(classifier.backend.model), classifier.readout
    )
    with pytest.raises(BadInput, match="state leak: needs the engine, not reference"):
        Sequence(slow, REGIMES["none"])
    generator = torch.Generator()
    with pytest.raises(BadInput, match="no samples to come before"):
        LeakSearch()(classifier, REGIMES["none"], WEAK, LABEL, WEAK[:0], generator)
