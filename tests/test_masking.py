"""Networks and attacks that hide their gradients: flagged, and broken by the recipe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from neurorobust.attacks.modes import surrogate
from neurorobust.attacks.pgd import Pgd
from neurorobust.attacks.recipes import STANDARD_1, Member
from neurorobust.attacks.square import Square
from neurorobust.backends.engine import EngineBackend
from neurorobust.checks import flags
from neurorobust.classifier import Classifier
from neurorobust.datasets.base import Dataset
from neurorobust.encoders import DriveEncoder
from neurorobust.evaluation import evaluate
from neurorobust.netx.model import DenseLayer, InputLayer, NetxModel, Neuron
from neurorobust.readout import Readout
from neurorobust.records import Card, EncoderCard, Record

STEPS, SAMPLES = 12, 64
NARROW = Pgd(mode=surrogate("atan", 0.01), steps=20)  # the published alpha = 100
USUAL = Pgd(mode=surrogate("triangle", 1.0), steps=20)
FAST = tuple(  # the released recipe, with a smaller Square
    replace(member, attack=Square(queries=300)) if member.label == "square" else member
    for member in STANDARD_1.members
    if member.attack.kind == "eps"
)
RECIPE = replace(STANDARD_1, members=FAST)


def network(gain: float) -> Classifier:
    """Random, 16-24-4; a large gain saturates the on-chip input layer: it fires at every step."""
    rng = np.random.default_rng(3)
    cuba = Neuron(*(np.array(value) for value in (1024, 256, 64)))
    out = Neuron(*(np.array(value) for value in (1024, 128, 64)))
    own = Neuron(np.array(4096), np.array(0), np.array(64))
    shape = (16, 1, 1)
    layers = (
        InputLayer(0, shape, own, weight=60.0 * gain, bias=4.0 * gain),
        DenseLayer(1, (24, 1, 1), cuba, 2 * rng.integers(-40, 50, (24, 16))),
        DenseLayer(2, (4, 1, 1), out, 2 * rng.integers(-40, 50, (4, 24))),
    )
    backend = EngineBackend(NetxModel(shape, layers, sha256=f"{int(gain):064x}"))
    encoder = DriveEncoder(shape, 60.0 * gain, 4.0 * gain, 0.5, 0.5, STEPS)
    return Classifier(encoder, backend, Readout("count", 1.0))


def attacked(classifier: Classifier, *attacks: object, epsilon: str = "0.15") -> Record:
    x = torch.rand(SAMPLES, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    data = Dataset("toy", "test", x, classifier.predict(x), 4)
    card = Card(
        encoder=EncoderCard(kind="drive", mean=0.5, std=0.5), steps=STEPS, readout="count"
    )  # fmt: skip
    return evaluate(
        classifier, data, card=card, epsilons=[epsilon], attacks=["random", *attacks],
        validation=replace(data, x=x[:8], y=data.y[:8]),
    )  # fmt: skip


def test_a_surrogate_as_narrow_as_alpha_100_is_flagged_and_broken_by_the_recipe():
    """The attack is the weak one: what it leaves standing falls to the recipe."""
    classifier = network(1.0)
    narrow, standard = attacked(classifier, NARROW), attacked(classifier, RECIPE)
    left, fallen = narrow.robust["0.15"].correct, standard.robust["0.15"].correct
    assert left > 0.5 * SAMPLES
    assert fallen < 0.5 * left
    assert flags(narrow), "a masked attack must be flagged"


def test_a_saturating_input_layer_is_flagged_and_broken_by_the_recipe():
    """Neurons far above threshold at every step pass no gradient under a surrogate with an end."""
    classifier = network(40.0)
    usual, standard = attacked(classifier, USUAL), attacked(classifier, RECIPE)
    left, fallen = usual.robust["0.15"].correct, standard.robust["0.15"].correct
    assert left > 0.8 * SAMPLES
    assert fallen < 0.8 * left
    assert any("no gradient at all" in flag for flag in flags(usual))


@pytest.mark.parametrize("gain", [1.0])
def test_a_network_that_hides_nothing_is_not_flagged(gain: float):
    assert flags(attacked(network(gain), Pgd(steps=20))) == []


def test_members_of_the_fast_recipe_are_the_released_ones():
    assert [member.label for member in FAST] == [
        member.label for member in STANDARD_1.members if member.attack.kind == "eps"
    ]
    assert isinstance(FAST[-1], Member)
