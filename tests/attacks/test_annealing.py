"""The annealing attacks find what is there and claim what is true, on any number of threads."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
import torch

from neurorobust import models
from neurorobust.attacks.annealing.follow import Followed, follow, hindrance
from neurorobust.attacks.annealing.pixel_choices import choices, input_words
from neurorobust.attacks.events.flip_annealing import FlipAnnealing
from neurorobust.attacks.feasible import Feasible
from neurorobust.attacks.images.pixel_annealing import PixelAnnealing
from neurorobust.attacks.recipes import RECIPES
from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.budgets import ImageBudget, inside, parse, project
from neurorobust.encoders import PoissonEncoder
from neurorobust.errors import BadInput

QUICK = {"lives": 3, "moves": 400}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=["count", "membrane"])
def pictures(spiking, request):
    classifier = spiking(readout=request.param)
    x = torch.rand(12, 1, 4, 4, generator=seeded(4))
    return classifier, x, classifier.predict(x)


@pytest.fixture(params=["count", "membrane"])
def events(spiking, request):
    classifier = spiking("direct", readout=request.param)
    x = (torch.rand(8, 2, 4, 2, 6, generator=seeded(1)) < 0.3).to(torch.uint8)
    return classifier, x, classifier.predict(x)


def test_what_any_corner_breaks_is_broken(spiking):
    """A tiny network, every corner of ten pixels tried."""
    classifier = spiking()
    x = torch.rand(8, 1, 4, 4, generator=seeded(6))
    x[:, :, 2, 2:], x[:, :, 3] = 0, 0
    labels, budget = classifier.predict(x), ImageBudget(0.06)
    signs = torch.tensor(list(product((-1.0, 1.0), repeat=10)))
    change = torch.zeros(len(signs), 16)
    change[:, :10] = 2 * budget.epsilon * signs

    def possible(one: torch.Tensor, label: torch.Tensor) -> bool:
        start = one.expand(len(signs), 1, 4, 4)
        corners = project(start + change.view_as(start), start, budget)[0]
        return bool((classifier.predict(corners) != label).any())

    breakable = torch.tensor([possible(*pair) for pair in zip(x.split(1), labels, strict=True)])
    fallen = classifier.predict(PixelAnnealing(**QUICK)(
        classifier, x, labels, budget, seeded()
    )) != labels  # fmt: skip
    assert 0 < int(breakable.sum()) < len(x)
    assert not bool((breakable & ~fallen).any())


def test_what_any_two_flips_break_is_broken(events):
    classifier, x, labels = events
    entries = x[0].numel()
    pairs = torch.tensor(list(combinations(range(entries), 2)))
    attack = FlipAnnealing(**QUICK)
    found = attack.propose(classifier, x, labels, parse("flips", "2"), seeded())
    for row in range(len(x)):
        every = x[row].flatten().repeat(len(pairs), 1)
        every[torch.arange(len(pairs))[:, None], pairs] ^= 1
        answers = classifier.predict(every.view(-1, *x.shape[1:]))
        assert bool(found.claimed[row]) == bool((answers != labels[row]).any())


def test_pixels_stay_inside_and_claims_are_true(pictures):
    classifier, x, labels = pictures
    budget = ImageBudget(0.08)
    slow = replace(classifier, backend=ReferenceBackend(classifier.backend.model))
    found = PixelAnnealing(**QUICK).propose(classifier, x, labels, budget, seeded())
    assert bool(inside(found.x, x, budget).all())
    assert torch.equal(found.claimed, slow.predict(found.x) != labels)
    assert int(found.claimed.sum()) > 0


@pytest.mark.parametrize(
    "typed", ["4", "insert=5+delete=3", "insert=2", "delete=2", "6+channel=1", "6+rows=1:3"]
)
def test_flips_stay_inside_and_claims_are_true(events, typed: str):
    classifier, x, labels = events
    budget = parse("flips", typed)
    slow = replace(classifier, backend=ReferenceBackend(classifier.backend.model))
    found = FlipAnnealing(**QUICK).propose(classifier, x, labels, budget, seeded())
    mask = (found.x != x).flatten(1)
    assert bool(Feasible.of("test", x, budget).inside(mask).all())
    assert torch.equal(found.claimed, slow.predict(found.x) != labels)
    assert bool(mask.any(1).all())


@pytest.mark.parametrize("kind", ["pixels", "flips"])
@pytest.mark.parametrize("far", [True, False])
def test_who_is_far_after_the_least_effort_lives_no_more(spiking, monkeypatch, kind: str, far):
    classifier = spiking("drive" if kind == "pixels" else "direct")
    x = torch.rand(6, 1, 4, 4, generator=seeded(4))
    attack, budget = PixelAnnealing(lives=5, moves=50, least=1), ImageBudget(0.01)
    if kind == "flips":
        x = (torch.rand(40, 2, 4, 2, 6, generator=seeded(1)) < 0.3).to(torch.uint8)
        attack, budget = FlipAnnealing(lives=5, moves=50, least=1), parse("flips", "1")
    labels, lived, walk = classifier.predict(x), [], type(attack)._walk

    def counted(self, walks, life, row):
        lived.append(row)
        walk(self, walks, life, row)

    monkeypatch.setattr(type(attack), "_walk", counted)
    monkeypatch.setattr(Followed, "far", lambda one, _, least: far and one.work >= least)
    standing = ~attack.propose(classifier, x, labels, budget, seeded()).claimed
    lives = [lived.count(row) for row in standing.nonzero()[:, 0].tolist()]
    assert lives == [1 if far else 5] * len(lives)
    assert lives


def test_far_is_above_a_sixth_of_the_untouched_samples_energy(spiking):
    classifier = spiking()
    x = torch.rand(20, 1, 4, 4, generator=seeded(4))
    net, words = follow("here", classifier, 0), input_words(classifier, x)
    for row, label in enumerate(classifier.predict(x).tolist()):
        one = Followed(net, words[row], label, classifier.readout.kind, 0)
        own = one.standing(one.begin())[1]
        if own > 0:
            break
    assert own > 0
    assert not one.far(own, 1)
    one.work = 10
    assert one.far(own, 10)
    assert one.far(own / 5.9, 10)
    assert not one.far(own / 6.1, 10)
    assert not one.far(own, 11)


@pytest.mark.parametrize("kind", ["eps", "flips"])
def test_threads_and_the_company_of_others_change_nothing(spiking, kind: str):
    if kind == "eps":
        classifier, attack, budget = spiking(), PixelAnnealing(**QUICK), ImageBudget(0.03)
        x = torch.rand(5, 1, 4, 4, generator=seeded(4))
    else:
        classifier, attack, budget = spiking("direct"), FlipAnnealing(**QUICK), parse("flips", "2")
        x = (torch.rand(5, 2, 4, 2, 6, generator=seeded(1)) < 0.3).to(torch.uint8)
    labels, before = classifier.predict(x), torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(attack(classifier, x, labels, budget, seeded()))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)
    alone = attack(classifier, x[:1], labels[:1], budget, seeded())
    assert torch.equal(alone[0], found[0][0])


@pytest.mark.parametrize("name", ["digits-mlp", "mnist-cnn"])
def test_choices_are_what_the_input_layer_fires(name: str):
    network = models.resolve(name)
    classifier = network.classifier(EngineBackend(network.model))
    x = torch.rand(3, *network.model.input_shape, generator=seeded(2))
    layer = network.model.input_layer
    run = classifier.backend.run(classifier.encoder.encode(x), record=[layer.number])
    spikes = run.layers[layer.number].spikes.numpy().astype(np.uint64)
    packed = (spikes << np.arange(spikes.shape[-1], dtype=np.uint64)).sum(-1, dtype=np.uint64)
    assert np.array_equal(input_words(classifier, x), packed)
    budget = ImageBudget(0.1)
    made = choices(classifier, x[0], budget)
    near = made.words[made.nearest(x[0])]
    assert float((near == packed[0]).mean()) > 0.95  # to `LEVELS` levels
    for end in (made.starts[:-1], made.starts[1:] - 1):
        image = made.image(end, x.shape[1:])[None]
        assert bool(inside(image, x[:1], budget).all())
        assert np.array_equal(input_words(classifier, image)[0], made.words[end])


def test_only_followed_networks_are_taken(spiking):
    classifier = spiking()
    x = torch.rand(2, 1, 4, 4, generator=seeded(4))
    labels = classifier.predict(x)
    drawing = replace(classifier, encoder=PoissonEncoder((16, 1, 1), gain=1.0, steps=8))
    assert hindrance(classifier, 0) == ""
    assert hindrance(drawing, 0) == "encoder poisson: draws afresh in every run"
    with pytest.raises(BadInput, match="pixel-annealing: cannot follow this network neuron by"):
        PixelAnnealing()(drawing, x, labels, ImageBudget(0.1), seeded())
    with pytest.raises(BadInput, match=r"pixel-annealing: needs a budget on images \(linf\), got"):
        PixelAnnealing()(classifier, x, labels, ImageBudget(1.0, "l2"), seeded())
    with pytest.raises(BadInput, match="flip-annealing: lives 0 below 1"):
        FlipAnnealing(lives=0)


@pytest.mark.parametrize("kind", ["eps", "flips"])
def test_the_recipe_searches_every_network_in_its_own_way(kind: str):
    recipe = RECIPES["standard-2"]
    for followed, wanted, other in (
        (True, "annealing", "search"),
        (False, "search", "annealing"),
    ):
        names = [member.attack.name for member in recipe.fitting(10, followed).of(kind)]
        assert any(name.endswith(wanted) for name in names)
        assert not any(name.endswith(other) for name in names)
