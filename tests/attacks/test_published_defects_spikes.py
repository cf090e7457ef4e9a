"""Mistakes found in published code of attacks on spikes: each would be caught here."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from neurorobust.attacks.events import EVENTS
from neurorobust.attacks.events.g2s import G2S
from neurorobust.attacks.events.threshold import raised
from neurorobust.attacks.fewest_flips import fewest_flips, median
from neurorobust.attacks.modes import PLAIN
from neurorobust.budgets import PatchBudget, ShiftBudget, SpikeBudget
from neurorobust.encoders import DirectEncoder

BUDGET = {"flips": SpikeBudget(4), "shifts": ShiftBudget(1), "patches": PatchBudget(2, 2)}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def binary(*shape: int, seed: int = 0) -> torch.Tensor:
    return (torch.rand(shape, generator=seeded(seed)) < 0.4).to(torch.uint8)


class Watching(DirectEncoder):
    """Lets anything pass and remembers whether it was whole spikes."""

    fractions = 0
    asked = 0

    def _checked(self, x: torch.Tensor) -> torch.Tensor:
        Watching.asked += 1
        Watching.fractions += int(((x != 0) & (x != 1)).sum())
        return x


@pytest.mark.parametrize("name", [name for name in EVENTS if not EVENTS[name].control])
def test_no_network_ever_sees_a_fraction_of_a_spike(linear, name: str):
    """A network asked at relaxed inputs answers for inputs that cannot exist."""
    weight = torch.randn(4, 32, generator=seeded(5)).mul(8).round()
    classifier = replace(linear(weight, "spikes"), encoder=Watching((32, 1, 1)))
    x = binary(4, 2, 4, 2, 2)
    labels = classifier.predict(x)
    Watching.asked = Watching.fractions = 0
    attack = EVENTS[name]
    if hasattr(attack, "queries"):
        attack = replace(attack, queries=20)
    found = attack(classifier, x, labels, BUDGET[attack.kind], seeded())
    assert Watching.asked > 0 or name == "flip-annealing"  # which follows the network itself
    assert Watching.fractions == 0
    assert bool(((found == 0) | (found == 1)).all())


def test_failures_stay_in_the_denominator(linear):
    """A mean over successes alone makes an attack that rarely succeeds look the sparsest."""
    weight = torch.zeros(2, 8)
    weight[0] = 1.0  # class 0 wins unless every spike is gone (ties go to it as well)
    classifier = linear(torch.cat([weight[:1], -weight[:1]]), "spikes")
    x = torch.zeros(3, 8, 1, 1, 1, dtype=torch.uint8)
    x[:, 0] = 1
    labels = torch.zeros(3, dtype=torch.int64)
    found = fewest_flips(EVENTS["sda"], classifier, x, labels, SpikeBudget(8), seeded(), 0)
    assert found.tolist() == [math.inf] * 3
    assert median(found) == math.inf
    assert median(torch.tensor([2.0, math.inf, math.inf])) == math.inf
    assert median(torch.tensor([0.0, 2.0, 3.0, math.inf])) == 3  # 0: wrong without any attack
    proposal = EVENTS["sda"](classifier, x, labels, SpikeBudget(2), seeded())
    assert (classifier.predict(proposal) == labels).all()


def test_fewest_flips_is_what_really_changed(linear):
    weight = torch.tensor([[3.0, 2, 1, 0], [0, 0, 0, 0]])
    classifier = linear(weight - torch.tensor([[2.5], [0.0]]), "spikes")
    x = torch.tensor([1, 1, 0, 0], dtype=torch.uint8).view(1, 4, 1, 1, 1)
    labels = classifier.predict(x)
    for name, halvings in (("sda", 0), ("spike-topk", 3), ("sparse-search", 0)):
        found = fewest_flips(
            EVENTS[name], classifier, x, labels, SpikeBudget(4), seeded(), halvings
        )
        assert torch.isfinite(found).all()
        assert 1 <= int(found[0]) <= 4


def test_a_raised_threshold_reaches_the_penultimate_layer_and_no_answer(spiking):
    """A sweep that sets the encoder's threshold alone shows the influence of nothing."""
    classifier = spiking("drive")  # input layer 0, hidden layer 1, output layer 2
    mode = raised(PLAIN, classifier, 1.5)
    assert mode.start().backward.scale.number == 1
    other = classifier.with_backward(mode.start().backward)
    x = torch.rand(6, 1, 4, 4, generator=seeded(2))
    assert torch.equal(classifier.logits(x), other.logits(x))
    asked = [x.clone().requires_grad_() for _ in range(2)]
    answers = [each.logits(point) for each, point in zip((classifier, other), asked, strict=True)]
    assert torch.equal(*[answer.detach() for answer in answers])
    slopes = [
        torch.autograd.grad(answer[:, 0].sum(), point)[0]
        for answer, point in zip(answers, asked, strict=True)
    ]
    assert not torch.allclose(*slopes)
    assert raised(PLAIN, classifier, 1.0) is PLAIN


def test_a_factor_of_one_is_the_plain_gradient(spiking):
    classifier, x = spiking("direct"), binary(5, 16, 1, 1, 12)
    labels = classifier.predict(x)
    exact = [
        replace(G2S(), threshold=factor).gradient(classifier, x, labels, seeded())
        for factor in (1.0, 1.0 + 1e-7)
    ]
    torch.testing.assert_close(*exact, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in EVENTS if EVENTS[name].control])
def test_every_sample_has_noise_of_its_own(spiking, name: str):
    """One draw for a whole batch is one draw, however large the batch."""
    attack = EVENTS[name]
    x = binary(1, 16, 1, 1, 12).expand(6, -1, -1, -1, -1).contiguous().view(6, 1, 4, 4, 12)
    budget = {"flips": SpikeBudget(6), "shifts": ShiftBudget(2), "patches": PatchBudget(3, 3)}
    found = attack(spiking("direct"), x, torch.zeros(6).long(), budget[attack.kind], seeded())
    assert len({row.numpy().tobytes() for row in found}) == 6


def test_a_universal_perturbation_never_saw_what_it_is_scored_on(spiking):
    """Crafted and scored on the same samples it is no universal one."""
    classifier, x = spiking("direct", readout="membrane"), binary(8, 16, 1, 1, 12)
    labels = classifier.predict(x)
    attack, budget = EVENTS["universal-sparse"], SpikeBudget(20)
    first = attack(classifier, x, labels, budget, seeded())
    changed, other = x.clone(), labels.clone()
    changed[2], other[2] = 1 - x[2], (labels[2] + 1) % 4
    second = attack(classifier, changed, other, budget, seeded())
    even = torch.tensor([0, 4, 6])  # the half of sample 2: attacked by what the odd ones gave
    assert torch.equal(first[even], second[even])
    assert not torch.equal(first, x)
    assert torch.equal(attack(classifier, x[:1], labels[:1], budget, seeded()), x[:1])


def test_spikefool_deletes_as_well_as_it_inserts(linear):
    """Counting both, but replaying insertions only, is another attack than the one reported."""
    weight = torch.tensor([[4.0, 0, 4, 0], [0, 3, 0, 3]])
    classifier = linear(weight, "spikes")
    x = torch.tensor([1, 0, 1, 0], dtype=torch.uint8).view(1, 4, 1, 1, 1)
    both = EVENTS["spikefool"](classifier, x, torch.tensor([0]), SpikeBudget(4), seeded())
    assert int(((x == 1) & (both == 0)).sum()) > 0
    only = SpikeBudget(4, deletions=0)
    inserted = EVENTS["spikefool"](classifier, x, torch.tensor([0]), only, seeded())
    assert int(((x == 1) & (inserted == 0)).sum()) == 0
