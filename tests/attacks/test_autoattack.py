from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from neurorobust.attacks import find
from neurorobust.attacks.global_seeding import seeded
from neurorobust.attacks.images.autoattack import Apgd, FabT
from neurorobust.attacks.images.square import Square
from neurorobust.attacks.modes import find_mode
from neurorobust.attacks.oracle import Oracle
from neurorobust.budgets import ImageBudget, project
from neurorobust.errors import BadInput

MODES = ("triangle-1", "assg-0.425", "bptr", "pdsg")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def digits(spiking):
    classifier = spiking(readout="membrane")
    x = torch.rand(16, 1, 4, 4, generator=generator(5))
    return classifier, x, classifier.predict(x)


def broken(digits, attack, epsilon: float = 0.1) -> torch.Tensor:
    classifier, x, labels = digits
    found = attack(classifier, x, labels, ImageBudget(epsilon), generator())
    return classifier.predict(found) != labels


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["apgd-ce", "apgd-t", "fab-t"])
def test_every_mode_breaks_something(digits, name: str, mode: str):
    attack = replace(find(name), steps=10, targets=3, mode=find_mode(mode))
    count, noise = (int(broken(digits, one).sum()) for one in (attack, find("random")))
    assert count > (0 if name == "fab-t" else 2 * noise)  # FAB needs gradients of the right size


def test_more_targets_break_no_less(digits):
    one, three = (broken(digits, Apgd("apgd-t", "dlr-targeted", 10, targets=n)) for n in (1, 3))
    assert not bool((one & ~three).any())
    assert int(three.sum()) > 0


def test_restarts_break_no_less(digits):
    one, four = (broken(digits, Apgd(steps=3, restarts=n), 0.06) for n in (1, 4))
    assert not bool((one & ~four).any())
    assert int(four.sum()) > int(one.sum())


@pytest.mark.parametrize(
    ("attack", "classes", "fits"),
    [
        (Apgd("apgd-t", "dlr-targeted", 2), 3, False),
        (Apgd("apgd-t", "dlr-targeted", 2), 4, True),
        (Apgd("apgd-dlr", "dlr", 2), 2, False),
        (Apgd("apgd-dlr", "dlr", 2), 3, True),
        (Apgd("apgd-ce", "ce", 2), 2, True),
        (FabT(steps=2), 2, True),
    ],
)
def test_losses_that_need_more_classes_are_refused(linear, attack, classes: int, fits: bool):
    classifier = linear(torch.randn(classes, 6, generator=generator(1)))
    x = torch.rand(3, 1, 1, 6, generator=generator(2))
    asked = (classifier, x, classifier.predict(x), ImageBudget(0.1), generator())
    if fits:
        assert attack(*asked).shape == x.shape
    else:
        with pytest.raises(BadInput, match=f"needs . classes, the network has {classes}"):
            attack(*asked)


def test_fab_finds_the_nearest_boundary(linear):
    """Distance of a plane in linf: |margin| / |slope|_1; just above it is broken, below not."""
    slope = torch.tensor([3.0, -1.0, 2.0, 4.0, -6.0])
    classifier = linear(torch.stack([slope, -slope]))
    x = 0.3 + 0.4 * torch.rand(8, 1, 1, 5, generator=generator(4))
    labels = classifier.predict(x)
    distance = (x.flatten(1) @ slope).abs() / slope.abs().sum()
    for factor, success in ((0.98, False), (1.05, True)):
        for row in range(3):
            one = slice(row, row + 1)
            budget = ImageBudget(factor * float(distance[row]))
            found = FabT(steps=8)(classifier, x[one], labels[one], budget, generator())
            assert bool(classifier.predict(found) != labels[one]) is success


def test_nothing_is_printed_or_warned_of(digits, capfd):
    for attack in (Apgd("apgd-t", "dlr-targeted", 3), FabT(steps=3), Square(queries=20)):
        broken(digits, attack)
    blind = replace(find("apgd-t"), steps=2, mode=find_mode("rectangle-1"))
    broken(digits, blind)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_a_point_that_rounding_moved_out_is_asked_as_it_will_be_scored(digits, norm: str):
    classifier, x, labels = digits
    budget = ImageBudget(0.1, norm)
    noise = torch.randn(x.shape, generator=generator(1))
    rim = x + project(1000 * noise + x, x, budget)[0] - x
    beyond = (x + (rim - x) * (1 + 5e-7)).clamp(0, 1)
    oracle = Oracle(classifier, x, labels, budget, generator())
    oracle(beyond)
    found = oracle.best.proposal()
    assert torch.equal(found.x, project(beyond, x, budget)[0])
    assert torch.equal(found.claimed, classifier.predict(found.x) != labels)
    far = (x + 3 * (rim - x)).clamp(0, 1)
    oracle = Oracle(classifier, x, labels, budget, generator())
    oracle(far)
    assert torch.equal(oracle.best.x, x)


def test_a_batch_of_nobody(digits):
    classifier, x, labels = digits
    for name in ("apgd-ce", "apgd-t", "fab-t", "square", "foolbox:LinfDeepFool"):
        found = find(name)(classifier, x[:0], labels[:0], ImageBudget(0.1), generator())
        assert found.shape == (0, 1, 4, 4)


def stumble() -> None:
    torch.rand(3)
    raise ValueError("stumbled")


def test_generators_come_back_after_an_error():
    state = torch.get_rng_state()
    with pytest.raises(ValueError, match="stumbled"), seeded(generator()):
        stumble()
    assert torch.equal(torch.get_rng_state(), state)
    with seeded(generator()):
        first = torch.rand(3)
    with seeded(generator()):
        assert torch.equal(torch.rand(3), first)
    assert torch.equal(torch.get_rng_state(), state)


def test_bad_parameters_are_refused():
    with pytest.raises(BadInput, match="apgd-ce: loss 'cw' unknown, known: ce, dlr"):
        Apgd(loss="cw")
    with pytest.raises(BadInput, match="fab-t: targets 0 below 1"):
        FabT(targets=0)
