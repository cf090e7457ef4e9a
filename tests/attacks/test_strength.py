"""The attacks on a published network and real data: they must be strong, and the controls weak."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from neurorobust import datasets, models, netx
from neurorobust.attacks import ATTACKS
from neurorobust.attacks.spike_view import spike_view
from neurorobust.backends.engine import EngineBackend
from neurorobust.budgets import ImageBudget, SpikeBudget, project
from neurorobust.classifier import Network

DIGITS = 64


@pytest.fixture(scope="module")
def mnist(wheel_net):
    """The wheel's MNIST network on the engine, and the first test digits."""
    folder = os.environ.get("NEUROROBUST_DATA")
    if folder is None:
        pytest.skip("needs MNIST: NEUROROBUST_DATA is not set")
    model = netx.read(wheel_net("mnist.net"))
    network = Network("lava-mnist", model, models.LAVA_MNIST)
    data = datasets.load("mnist", "test", Path(folder), limit=DIGITS)
    return network.classifier(EngineBackend(model)), *data.batch(0, DIGITS)


def broken(classifier, x, labels, name: str, budget) -> int:
    proposal = ATTACKS[name](classifier, x, labels, budget, torch.Generator().manual_seed(0))
    return int(((classifier.predict(x) == labels) & (classifier.predict(proposal) != labels)).sum())


def test_pgd_breaks_most_digits_and_noise_none(mnist):
    assert broken(*mnist, "pgd-linf", ImageBudget(0.2)) > 0.8 * DIGITS
    assert broken(*mnist, "random", ImageBudget(0.2)) <= 2


def test_flips_by_gradient_break_what_random_flips_do_not(mnist):
    classifier, x, labels = mnist
    view, spikes = spike_view(classifier, x)
    assert view.predict(spikes).tolist() == classifier.predict(x).tolist()
    assert broken(view, spikes, labels, "spike-topk", SpikeBudget(200)) > 0.5 * DIGITS
    assert broken(view, spikes, labels, "spike-random", SpikeBudget(200)) <= 2


def test_hardly_any_gradient_vanishes(mnist):
    gradient = ATTACKS["pgd-linf"].gradient(*mnist, torch.Generator().manual_seed(0))
    assert int((gradient == 0).flatten(1).all(1).sum()) <= 1


@pytest.mark.parametrize("epsilon", [0.1, 0.15])
def test_stronger_attacks_break_no_less_than_ten_steps(mnist, epsilon: float):
    classifier, x, labels = mnist
    budget = ImageBudget(epsilon)
    weak = replace(ATTACKS["pgd-linf"], steps=10)
    left = {}
    for attack in (weak, ATTACKS["sa-pgd"], ATTACKS["apgd-ce"]):
        found = attack(classifier, x, labels, budget, torch.Generator().manual_seed(0))
        found = project(found, x, budget)[0]
        left[attack.name] = int((classifier.predict(found) == labels).sum())
    assert max(left["sa-pgd"], left["apgd-ce"]) <= left["pgd-linf"] < DIGITS
