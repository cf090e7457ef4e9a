from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from neurorobust.attacks import ATTACKS, find, settings
from neurorobust.attacks.images.pgd import Pgd
from neurorobust.attacks.modes import surrogate
from neurorobust.budgets import ImageBudget, SpikeBudget
from neurorobust.budgets.images import project_images
from neurorobust.encoders import PoissonEncoder
from neurorobust.errors import BadInput

IMAGE_ATTACKS = ["pgd-linf", "random"]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def digits(spiking):
    """A spiking classifier, samples and its own labels of them."""
    classifier = spiking()
    x = torch.rand(24, 1, 4, 4, generator=seeded(5))
    return classifier, x, classifier.predict(x)


@pytest.mark.parametrize("epsilon", [0.05, 0.3])
def test_pgd_equals_the_closed_form_on_a_linear_network(linear, epsilon: float):
    weight = torch.tensor([[5.0, -3.0, 0.0, 7.0, 2.0], [-4.0, 6.0, 0.0, 9.0, 2.0]])
    classifier = linear(weight)
    x = torch.rand(16, 1, 1, 5, generator=seeded(1))
    labels = torch.arange(16) % 2
    budget = ImageBudget(epsilon)
    away = torch.sign(weight[1 - labels] - weight[labels]).view(x.shape)
    solution, _ = project_images(x + epsilon * away, x, budget)
    found = ATTACKS["pgd-linf"](classifier, x, labels, budget, seeded())
    found, _ = project_images(found, x, budget)
    informed = (away != 0).expand_as(x)
    assert informed.any()
    assert torch.allclose(found[informed], solution[informed], atol=1e-6)
    assert not torch.equal(found[~informed], x[~informed])  # left at the random start


@pytest.mark.parametrize("scale", [1e4, 1e5, 1e-4, 3.0])
def test_the_result_does_not_depend_on_the_logit_scale(digits, scale: float):
    classifier, x, labels = digits
    other = replace(classifier, readout=replace(classifier.readout, scale=scale))
    budget = ImageBudget(0.1)
    first = ATTACKS["pgd-linf"](classifier, x, labels, budget, seeded())
    assert torch.equal(ATTACKS["pgd-linf"](other, x, labels, budget, seeded()), first)
    assert not torch.equal(first, x)


def test_pgd_breaks_what_noise_does_not(digits):
    classifier, x, labels = digits
    budget = ImageBudget(0.1)
    broken = {
        name: int(
            (
                classifier.predict(ATTACKS[name](classifier, x, labels, budget, seeded())) != labels
            ).sum()
        )
        for name in IMAGE_ATTACKS
    }
    assert broken["pgd-linf"] > 2 * broken["random"]


def test_the_best_iterate_is_returned(digits):
    """The last of very long steps is rarely the best: no sample may end below its random start."""
    classifier, x, labels = digits
    budget = ImageBudget(0.2)
    margins = []
    for steps in (1, 2, 4, 8):
        attack = Pgd(steps=steps, reach=2.0 * steps)  # the same start and the same first steps
        found = attack(classifier, x, labels, budget, seeded())
        logits = classifier.logits(found)
        other = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
        margins.append(other - logits.gather(1, labels[:, None]).squeeze(1))
    for fewer, more in pairwise(margins):
        assert bool((more >= fewer).all())
    assert bool((margins[-1] > margins[0]).any())


@pytest.mark.parametrize("name", IMAGE_ATTACKS)
@pytest.mark.parametrize("encoder", ["drive", "poisson"])
def test_the_contract_of_an_attack(spiking, name: str, encoder: str):
    classifier = spiking(encoder)
    attack = replace(ATTACKS["pgd-linf"], steps=3, draws=2) if name == "pgd-linf" else find(name)
    x = torch.rand(8, 1, 4, 4, generator=seeded(2))
    labels = torch.arange(8) % 4
    before, state = x.clone(), torch.get_rng_state()
    for epsilon in (0.0, 0.1, 1.0):
        first = attack(classifier, x, labels, ImageBudget(epsilon), seeded(3))
        again = attack(classifier, x, labels, ImageBudget(epsilon), seeded(3))
        other = attack(classifier, x, labels, ImageBudget(epsilon), seeded(4))
        assert first.dtype == x.dtype
        assert first.shape == x.shape
        assert torch.equal(first, again)
        assert not first.requires_grad
        assert float((first - x).abs().max()) <= epsilon + 1e-6
        assert float(first.min()) >= 0
        assert float(first.max()) <= 1
        assert torch.equal(first, x) is (epsilon == 0)
        assert torch.equal(first, other) is (epsilon == 0)
    assert torch.equal(x, before)
    assert torch.equal(torch.get_rng_state(), state), "the global generator was used"
    with pytest.raises(BadInput, match=f"{name}: needs a budget on images"):
        attack(classifier, x, labels, SpikeBudget(1), seeded())


def test_noise_is_drawn_for_every_sample_of_its_own(digits):
    classifier, _, _ = digits
    grey = torch.full((6, 1, 4, 4), 0.5)
    noise = ATTACKS["random"](classifier, grey, torch.zeros(6).long(), ImageBudget(0.1), seeded())
    assert len({tuple(row.flatten().tolist()) for row in noise}) == 6


class CountingEncoder(PoissonEncoder):
    """Remembers every draw."""

    def _draw(self, x, generator):
        spikes = super()._draw(x, generator)
        self.__dict__.setdefault("seen", []).append(spikes.to(torch.uint8))
        return spikes


def test_every_query_draws_afresh_and_each_gradient_averages(spiking):
    classifier = replace(spiking("poisson"), encoder=CountingEncoder((16, 1, 1), 12))
    x = torch.full((3, 1, 4, 4), 0.5)
    attack = Pgd(steps=4, draws=5)
    attack(classifier, x, torch.tensor([0, 1, 2]), ImageBudget(0.01), seeded())
    draws = classifier.encoder.seen
    assert len(draws) == (4 + 1) * 5
    rows = {row.numpy().tobytes() for draw in draws for row in draw}
    assert len(rows) == len(draws) * 3, "a draw was used twice"


def test_the_budget_is_in_pixels_whatever_the_normalisation(spiking):
    classifier = spiking()
    sharp = replace(classifier, encoder=replace(classifier.encoder, mean=0.2, std=0.6))
    x = torch.rand(8, 1, 4, 4, generator=seeded(2))
    found = ATTACKS["pgd-linf"](sharp, x, torch.arange(8) % 4, ImageBudget(0.05), seeded())
    assert 0.049 < float((found - x).abs().max()) <= 0.05 + 1e-6


def test_a_gradient_that_vanishes_is_shown(digits):
    classifier, x, labels = digits
    blind = Pgd(mode=surrogate("triangle", 1e-9))
    assert not blind.gradient(classifier, x, labels, seeded()).any()
    assert ATTACKS["pgd-linf"].gradient(classifier, x, labels, seeded()).flatten(1).any(1).all()


def test_settings_name_every_parameter():
    found = settings(ATTACKS["pgd-linf"])
    assert found["domain"] == "images"
    assert (found["access"], found["control"]) == ("white-box", False)
    control = settings(ATTACKS["random"])
    assert (control["access"], control["control"]) == ("none", True)
    assert (found["steps"], found["reach"]) == (40, 2.5)
    assert found["mode"] == "fast-sigmoid-0.25"


def test_an_unknown_attack_is_refused():
    with pytest.raises(BadInput, match=r"attack 'magic': unknown, known: standard, .*pgd-linf, "):
        find("magic")
