"""Networks and attacks that hide their gradients: flagged, and broken by the recipe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from neurorobust.attacks.images.pgd import Pgd
from neurorobust.attacks.images.sa_pgd import SaPgd
from neurorobust.attacks.images.square import Square
from neurorobust.attacks.modes import find_mode, surrogate
from neurorobust.attacks.recipe import Member, Recipe
from neurorobust.attacks.recipes import STANDARD_1, STANDARD_2
from neurorobust.backends.engine import EngineBackend
from neurorobust.checks import flags
from neurorobust.classifier import Classifier
from neurorobust.datasets.base import Dataset
from neurorobust.encoders import DriveEncoder
from neurorobust.evaluation import Request, evaluate
from neurorobust.netx.model import DenseLayer, InputLayer, NetxModel, Neuron
from neurorobust.readouts import Readout
from neurorobust.records import Card, EncoderCard, Record

STEPS, SAMPLES = 12, 64
NARROW = Pgd(mode=surrogate("atan", 0.01), steps=20)  # the published alpha = 100
USUAL = Pgd(mode=surrogate("triangle", 1.0), steps=20)
# survivors only go on: what the first members break, the whole recipe breaks
HEAD = replace(STANDARD_1, members=STANDARD_1.members[:4])
SEVERAL = ("fast-sigmoid-0.25", "triangle-1", "atan-2", "sigmoid-1", "rga", "hart-0.5", "rotation")


def network(gain: float = 1.0, hidden: int = 1) -> Classifier:
    """Random, 16-24-...-4; a large gain saturates the on-chip input layer: it always fires."""
    rng = np.random.default_rng(3)
    cuba = Neuron(*(np.array(value) for value in (1024, 256, 64)))
    out = Neuron(*(np.array(value) for value in (1024, 128, 64)))
    own = Neuron(np.array(4096), np.array(0), np.array(64))
    shape = (16, 1, 1)
    layers = (
        InputLayer(0, shape, own, weight=60.0 * gain, bias=4.0 * gain),
        *(
            DenseLayer(1 + i, (24, 1, 1), cuba, 2 * rng.integers(-40, 50, (24, 24 if i else 16)))
            for i in range(hidden)
        ),
        DenseLayer(1 + hidden, (4, 1, 1), out, 2 * rng.integers(-40, 50, (4, 24))),
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
        classifier,
        data,
        Request(["random", *attacks], {"eps": [epsilon]}),
        card=card,
        validation=replace(data, x=x[:8], y=data.y[:8]),
    )


def test_a_surrogate_as_narrow_as_alpha_100_is_flagged_and_broken_by_the_recipe():
    """The attack is the weak one: it withholds what a blind search finds, and the recipe."""
    classifier = network(hidden=3)
    narrow, standard = attacked(classifier, NARROW, Square(queries=500)), attacked(classifier, HEAD)
    left = narrow.robust["eps"]["0.15"].by_attack["pgd-linf"].correct
    assert left > 0.5 * SAMPLES
    assert standard.robust["eps"]["0.15"].correct < 0.5 * left
    said = [flag for flag in flags(narrow) if "without gradients, pgd-linf" in flag]
    assert len(said) == 1
    assert said[0].endswith("gradients are masked")


def test_a_saturating_input_layer_is_flagged_and_broken_by_the_recipe():
    """Neurons far above threshold at every step pass no gradient under a surrogate with an end."""
    classifier = network(gain=40.0)
    usual, standard = attacked(classifier, USUAL), attacked(classifier, HEAD)
    left = usual.robust["eps"]["0.15"].correct
    assert left > 0.6 * SAMPLES
    assert standard.robust["eps"]["0.15"].correct < 0.5 * left
    assert any("no gradient at all at the start" in flag for flag in flags(usual))


@pytest.mark.parametrize(("gain", "raised"), [(1.0, False), (40.0, True)])
def test_a_recipe_says_that_a_network_hides_its_gradients(gain: float, raised: bool):
    steps = Pgd(steps=5)
    members = tuple(Member(steps, mode) for mode in SEVERAL)
    recipe = replace(STANDARD_1, members=members)
    found = flags(attacked(network(gain), recipe))
    assert any("hides its gradients" in flag for flag in found) is raised, found


def test_a_network_that_hides_nothing_is_not_flagged():
    strong = SaPgd(steps=60, mode=find_mode("assg-0.425"))
    assert flags(attacked(network(), strong, Square(queries=100))) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gain", "hidden", "recipe"),
    [(1.0, 3, STANDARD_2), (40.0, 1, STANDARD_1), (40.0, 1, STANDARD_2)],
)
def test_the_whole_recipe_breaks_them(gain: float, hidden: int, recipe: Recipe):
    classifier = network(gain, hidden)
    head, whole = attacked(classifier, HEAD), attacked(classifier, recipe)
    assert whole.robust["eps"]["0.15"].correct <= head.robust["eps"]["0.15"].correct
    assert whole.robust["eps"]["0.15"].correct < 0.3 * SAMPLES
