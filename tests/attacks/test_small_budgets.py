"""Budgets of a few grey levels: what float32 rounds out of the ball is asked inside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from neurorobust.attacks import find
from neurorobust.attacks.oracle import Oracle
from neurorobust.backends.engine import EngineBackend
from neurorobust.budgets import ImageBudget, inside
from neurorobust.classifier import Classifier
from neurorobust.encoders import DriveEncoder
from neurorobust.netx.model import DenseLayer, InputLayer, NetxModel, Neuron
from neurorobust.readouts import Readout

LEVELS = (1, 2, 4, 8)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def grey():
    """A drive network on 1 x 32 x 32 pixels of k/255, and what it says of them."""
    rng = np.random.default_rng(1)
    shape, features = (1024, 1, 1), 1024
    own = Neuron(np.array(4096), np.array(0), np.array(64))
    cuba = Neuron(np.array(1024), np.array(256), np.array(640))
    layers = (
        InputLayer(0, shape, own, weight=60.0, bias=4.0),
        DenseLayer(1, (24, 1, 1), cuba, 2 * rng.integers(-40, 41, (24, features))),
        DenseLayer(2, (4, 1, 1), None, 2 * rng.integers(-40, 41, (4, 24))),
    )
    backend = EngineBackend(NetxModel(shape, layers, sha256="0" * 64))
    classifier = Classifier(
        DriveEncoder(shape, 60.0, 4.0, 0.5, 0.5, 12), backend, Readout("membrane", 1.0)
    )
    x = torch.randint(0, 256, (16, 1, 32, 32), generator=generator()) / 255
    return classifier, x, classifier.predict(x)


def broken(grey, attack, budget: ImageBudget) -> tuple[int, int]:
    """Samples broken, and proposals that are x itself."""
    classifier, x, labels = grey
    found = attack(classifier, x, labels, budget, generator())
    assert bool(inside(found, x, budget).all())
    fallen = classifier.predict(found) != labels
    return int(fallen.sum()), int((found == x).flatten(1).all(1).sum())


@pytest.mark.parametrize("level", LEVELS)
def test_apgd_breaks_what_pgd_breaks_at_few_grey_levels(grey, level: int):
    budget = ImageBudget(level / 255)
    pgd, _ = broken(grey, find("pgd-linf"), budget)
    apgd, unchanged = broken(grey, replace(find("apgd-ce"), steps=40), budget)
    assert pgd > 0
    assert (apgd >= pgd - 1, unchanged) == (True, 0)


@pytest.mark.parametrize("level", LEVELS)
def test_square_moves_every_sample_at_few_grey_levels(grey, level: int):
    budget = ImageBudget(level / 255)
    square, unchanged = broken(grey, replace(find("square"), queries=60), budget)
    random, _ = broken(grey, find("random"), budget)
    assert (square > random, unchanged) == (True, 0)


@pytest.mark.parametrize("size", [0.05, 0.2])
def test_apgd_breaks_what_pgd_breaks_in_small_euclidean_balls(grey, size: float):
    budget = ImageBudget(size, "l2")
    pgd, _ = broken(grey, find("pgd-l2"), budget)
    apgd, unchanged = broken(grey, replace(find("apgd-ce"), steps=40), budget)
    assert pgd > 0
    assert (apgd >= pgd - 1, unchanged) == (True, 0)


@pytest.mark.parametrize("size", [0.5, 2.0])
def test_apgd_moves_every_sample_in_small_l1_balls(grey, size: float):
    apgd, unchanged = broken(grey, replace(find("apgd-ce"), steps=40), ImageBudget(size, "l1"))
    assert (apgd > 0, unchanged) == (True, 0)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ["foolbox:LinfPGD", "foolbox:LinfBasicIterative"])
def test_foolbox_keeps_what_it_finds_at_few_grey_levels(grey, name: str, level: int):
    budget = ImageBudget(level / 255)
    pgd, _ = broken(grey, find("pgd-linf"), budget)
    foolbox, unchanged = broken(grey, find(name), budget)
    assert (foolbox >= 0.5 * pgd, unchanged) == (True, 0)


def test_fab_finds_the_boundary_at_few_grey_levels(linear):
    """Distance of a plane in linf: |margin| / |slope|_1; just above it is broken."""
    slope = torch.tensor([3.0, -1.0, 2.0, 4.0, -6.0])
    classifier = linear(torch.stack([slope, -slope]))
    start = torch.tensor([[[[0.8, 0.6, 0.9, 0.7, 0.5]]]])
    foot = slope * (start.flatten() @ slope) / slope.square().sum()
    for level in LEVELS:
        x = (start.flatten() - foot + slope.sign() * level / 255).view_as(start)
        labels = classifier.predict(x)
        budget = ImageBudget(1.02 * level / 255)
        found = replace(find("fab-t"), steps=8)(classifier, x, labels, budget, generator())
        assert bool(classifier.predict(found) != labels)


@pytest.mark.parametrize(
    ("norm", "size"), [("linf", 1 / 255), ("linf", 1e-5), ("l2", 1e-3), ("l1", 1e-3), ("l0", 3)]
)
def test_what_float32_rounds_out_of_a_ball_is_asked_inside_it(grey, norm: str, size: float):
    """x plus a step of the whole budget, as other people's loops compute it."""
    classifier, x, labels = grey
    budget = ImageBudget(size, norm)
    change = torch.zeros_like(x)
    if norm == "linf":
        change = torch.full_like(x, size).where(x < 0.9, torch.tensor(-size))
    elif norm == "l0":
        change[:, 0, 5, :3] = 1 - 2 * x[:, 0, 5, :3]
        change[:, 0, 7] = 1e-7  # rounded, not moved
    else:
        direction = torch.randn(x.shape, generator=generator(2))
        length = direction.flatten(1).norm(p=int(norm[1]), dim=1).view(-1, 1, 1, 1)
        change = (1 + 1e-6) * size * direction / length
    oracle = Oracle(classifier, x, labels, budget, generator())
    oracle((x + change).clamp(0, 1))
    found = oracle.best.x
    assert bool(inside(found, x, budget).all())
    assert not bool((found == x).flatten(1).all(1).any())
