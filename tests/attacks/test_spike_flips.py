from __future__ import annotations

import itertools

import pytest
import torch

from neurorobust.attacks import ATTACKS
from neurorobust.attacks.events.gradient_flips import SpikeTopK
from neurorobust.attacks.modes import surrogate
from neurorobust.budgets import ImageBudget, SpikeBudget
from neurorobust.errors import BadInput


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def binary(*shape: int, seed: int = 0) -> torch.Tensor:
    return (torch.rand(shape, generator=seeded(seed)) < 0.4).to(torch.uint8)


def margin(classifier, x, labels):
    logits = classifier.logits(x)
    other = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    return other - logits.gather(1, labels[:, None]).squeeze(1)


def exhaustive(classifier, x, label, flips: int) -> float:
    """The largest margin within the budget, by trying everything."""
    places = range(x.numel())
    tries = []
    for count in range(flips + 1):
        for chosen in itertools.combinations(places, count):
            flat = x.flatten().clone()
            flat[list(chosen)] = 1 - flat[list(chosen)]
            tries.append(flat.view(x.shape))
    stack = torch.stack(tries)
    return float(margin(classifier, stack, label.expand(len(stack))).max())


@pytest.mark.parametrize("flips", [1, 2, 3])
def test_on_a_linear_network_the_greedy_choice_is_the_best_there_is(linear, flips: int):
    weight = torch.tensor([[3.0, -1, 4, -1, 5, -9, 2, 6], [-2.0, 7, 1, -8, 2, 8, -1, 8]])
    classifier = linear(weight, "spikes")
    x, labels = binary(6, 8, 1, 1, 1), torch.arange(6) % 2
    found = ATTACKS["spike-topk"](classifier, x, labels, SpikeBudget(flips), seeded())
    for row in range(6):
        best = exhaustive(classifier, x[row], labels[row], flips)
        assert float(margin(classifier, found[row : row + 1], labels[row : row + 1])) == best


def test_exhaustive_search_bounds_the_attack_on_a_spiking_network(spiking):
    classifier = spiking("direct", readout="membrane")
    x, labels = binary(8, 16, 1, 1, 6), torch.arange(8) % 4
    found = ATTACKS["spike-topk"](classifier, x, labels, SpikeBudget(2), seeded())
    before, after = margin(classifier, x, labels), margin(classifier, found, labels)
    bounds = torch.tensor([exhaustive(classifier, x[row], labels[row], 2) for row in range(8)])
    assert bool((after <= bounds).all())
    assert bool((after >= before).all())
    assert float(((after - before) / (bounds - before)).mean()) > 0.5  # of what is possible


@pytest.mark.parametrize("name", ["spike-topk", "spike-random"])
def test_the_contract_of_an_attack(spiking, name: str):
    classifier, attack = spiking("direct"), ATTACKS[name]
    x, labels = binary(8, 16, 1, 1, 12), torch.arange(8) % 4
    before, state = x.clone(), torch.get_rng_state()
    for flips in (0, 1, 7, 25, 10_000):
        first = attack(classifier, x, labels, SpikeBudget(flips), seeded(3))
        assert first.dtype == torch.uint8
        assert first.shape == x.shape
        assert torch.equal(first, attack(classifier, x, labels, SpikeBudget(flips), seeded(3)))
        assert first.max() <= 1
        assert int((first != x).flatten(1).sum(1).max()) <= flips
        assert torch.equal(first, x) is (flips == 0)
    assert torch.equal(x, before)
    assert torch.equal(torch.get_rng_state(), state), "the global generator was used"
    with pytest.raises(BadInput, match=f"{name}: needs a budget on spikes"):
        attack(classifier, x, labels, ImageBudget(0.1), seeded())


def test_only_flips_that_promise_something_are_made(linear):
    weight = torch.tensor([[1.0, -1.0, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
    classifier = linear(weight, "spikes")
    x = torch.tensor([1, 1, 0, 0], dtype=torch.uint8).view(1, 4, 1, 1, 1)
    found = ATTACKS["spike-topk"](classifier, x, torch.tensor([0]), SpikeBudget(4), seeded())
    assert found.flatten().tolist() == [0, 1, 0, 0]  # the rest would help class 0, or nobody


def test_ties_go_to_the_lowest_position(linear):
    weight = torch.zeros(2, 40)
    weight[0] = 1.0
    x = torch.ones(1, 40, 1, 1, 1, dtype=torch.uint8)
    attack = SpikeTopK(rounds=1)
    found = attack(linear(weight, "spikes"), x, torch.tensor([0]), SpikeBudget(3), seeded())
    assert found.flatten().tolist() == [0] * 3 + [1] * 37


def test_a_sample_without_gradient_stays_as_it_is(spiking):
    classifier = spiking("direct")
    x, labels = binary(4, 16, 1, 1, 12), torch.arange(4)
    blind = SpikeTopK(mode=surrogate("triangle", 1e-9))
    assert not blind.gradient(classifier, x, labels, seeded()).any()
    assert torch.equal(blind(classifier, x, labels, SpikeBudget(9), seeded()), x)


def test_random_flips_use_the_whole_budget_and_differ_between_samples(spiking):
    x = torch.zeros(6, 16, 1, 1, 12, dtype=torch.uint8)
    found = ATTACKS["spike-random"](
        spiking("direct"), x, torch.zeros(6).long(), SpikeBudget(9), seeded()
    )
    assert found.flatten(1).sum(1).tolist() == [9] * 6
    assert len({row.numpy().tobytes() for row in found}) == 6


def test_more_rounds_are_no_weaker_on_average(spiking):
    classifier = spiking("direct", readout="membrane")
    x, labels = binary(32, 16, 1, 1, 12), torch.arange(32) % 4
    gains = [
        margin(
            classifier, SpikeTopK(rounds)(classifier, x, labels, SpikeBudget(12), seeded()), labels
        ).mean()
        for rounds in (1, 12)
    ]
    assert gains[1] > gains[0]
