"""Attacks that only ask: counted, kept to their budget, on any backend."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from neurorobust.attacks import find
from neurorobust.attacks.images import IMAGES
from neurorobust.attacks.images.occlusion import Occlusion, window
from neurorobust.attacks.images.square import Square
from neurorobust.attacks.oracle import Done, Oracle, Unknown
from neurorobust.attacks.queries import counted
from neurorobust.backends.base import InProcess
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.budgets import ImageBudget
from neurorobust.errors import BadInput

ASKING = {
    "square": "linf",
    "occlusion": "l0",
    "foolbox:HopSkipJump": "l2",
    "foolbox:Boundary": "l2",
}
ASKING |= {"foolbox:SaltAndPepperNoise": "l2", "foolbox:InversionAttack": "linf"}
EPSILON = {"linf": 0.02, "l2": 0.1, "l0": 4.0}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def digits(spiking):
    classifier = spiking(readout="membrane")
    x = torch.rand(6, 1, 4, 4, generator=seeded(5))
    return classifier, x, classifier.predict(x)


class Blind(InProcess):
    """A backend without gradients that remembers every input it was given."""

    name, about, query_batch = "blind", "a double for tests", 16

    def __init__(self, backend) -> None:
        self.inner, self.model, self.sizes = backend, backend.model, []

    def run(self, inputs, record=(), clock="aligned"):
        self.sizes.append(len(inputs))
        return self.inner.run(inputs, record, clock)


@pytest.mark.parametrize("queries", [1, 7, 40])
@pytest.mark.parametrize("name", ASKING)
def test_no_sample_is_asked_about_more_often_than_allowed(digits, name: str, queries: int):
    classifier, x, labels = digits
    blind = Blind(classifier.backend)
    target = counted(replace(classifier, backend=blind))
    assert not target.differentiable
    budget = ImageBudget(EPSILON[ASKING[name]], ASKING[name])
    attack = replace(find(name), queries=queries)
    assert attack.access in ("score", "decision")
    found = attack(target, x, labels, budget, seeded())
    assert found.shape == x.shape
    assert target.tally.samples is not None
    assert int(target.tally.samples.max()) <= queries
    assert int(target.tally.samples.min()) >= 1
    assert sum(blind.sizes) == target.tally.forward == int(target.tally.samples.sum())
    assert target.tally.gradients == 0
    assert max(blind.sizes) <= blind.query_batch


def test_a_budget_is_used_up_by_who_is_not_broken(digits):
    classifier, x, labels = digits
    labels = labels.clone()
    labels[2] = (labels[2] + 1) % 4  # wrong from the start
    target = counted(classifier)
    Square(queries=60)(target, x, labels, ImageBudget(1e-6), seeded())  # nobody else ever is
    assert target.tally.samples is not None
    assert target.tally.samples.tolist() == [60, 60, 1, 60, 60, 60]
    assert target.tally.forward == 5 * 60 + 1


def test_what_is_refused_tells_nothing(digits):
    classifier, x, labels = digits
    oracle = Oracle(classifier, x, labels, ImageBudget(0.0), seeded(), limit=2)
    oracle.used[1:3] = 2  # used up before the first question
    first = oracle(x)
    assert oracle.used.tolist() == [1, 2, 2, 1, 1, 1]
    other = oracle(x.flip(0))
    assert torch.equal(first[1:3], other[1:3])
    assert (first[1:3].argmax(1) != labels[1:3]).all()
    assert not torch.equal(first[0], other[0])
    assert torch.equal(oracle.best.x, x)
    with pytest.raises(Done):
        oracle(x)
    assert oracle.used.tolist() == [2] * 6


def test_a_broken_sample_is_not_asked_about_again(digits):
    classifier, x, _ = digits
    labels = classifier.predict(x)
    labels[2] = (labels[2] + 1) % 4  # wrong from the start
    oracle = Oracle(classifier, x, labels, ImageBudget(1.0), seeded())
    oracle(x)
    oracle(x)
    assert oracle.used.tolist() == [2, 2, 1, 2, 2, 2]
    outside = Oracle(classifier, x, labels, ImageBudget(0.01), seeded())
    outside((x + 0.5).clamp(0, 1))
    assert torch.equal(outside.best.x, x), "what lies outside was kept"


def test_rows_that_cannot_be_matched_are_refused(digits):
    classifier, x, labels = digits
    oracle = Oracle(classifier, x, labels, ImageBudget(0.1), seeded())
    with pytest.raises(Unknown, match="4 rows for 6 samples"):
        oracle(x[:4])
    single = Oracle(classifier, x[:1], labels[:1], ImageBudget(0.1), seeded())
    assert single(x[:1].expand(3, -1, -1, -1)).shape[0] == 3
    assert single.used.tolist() == [3]


def test_decisions_say_only_the_label(digits):
    classifier, x, labels = digits
    oracle = Oracle(classifier, x, labels, ImageBudget(0.1), seeded(), decision=True)
    answer = oracle(x)
    assert sorted(answer.unique().tolist()) == [0, 1]
    assert torch.equal(answer.argmax(1), labels)


def test_gradients_are_counted_as_queries(digits):
    classifier, x, labels = digits
    target = counted(classifier)
    replace(find("pgd-linf"), steps=5)(target, x, labels, ImageBudget(0.1), seeded())
    assert target.tally.gradients == 5 * 6
    assert target.tally.forward == 6
    assert target.tally.mean(6) == 6


@pytest.mark.parametrize("name", [name for name in IMAGES if find(name).access == "white-box"])
def test_counting_changes_nothing(digits, name: str):
    classifier, x, labels = digits
    norm = find(name).norms[0]
    budget = ImageBudget({"linf": 0.1, "l2": 0.5, "l1": 2.0, "l0": 2.0}[norm], norm)
    attack = find(name)
    if hasattr(attack, "steps"):
        attack = replace(attack, steps=3)
    target = counted(classifier)
    found = attack(target, x, labels, budget, seeded())
    assert torch.equal(found, attack(classifier, x, labels, budget, seeded()))
    assert target.tally.gradients > 0


def test_queries_run_on_the_reference_as_on_the_engine(digits):
    classifier, x, labels = digits
    slow = replace(classifier, backend=ReferenceBackend(classifier.backend.model))
    attack, budget = Square(queries=12), ImageBudget(0.1)
    found = attack(classifier, x[:2], labels[:2], budget, seeded())
    assert torch.equal(attack(slow, x[:2], labels[:2], budget, seeded()), found)
    assert slow.backend.query_batch < classifier.backend.query_batch


def test_occlusion_finds_the_best_window(linear):
    """All windows and levels tried by hand."""
    weight = torch.randn(3, 25, generator=seeded(3))
    classifier = linear(weight)
    classifier = replace(classifier, encoder=type(classifier.encoder)())
    x = 0.2 + 0.6 * torch.rand(4, 1, 5, 5, generator=seeded(4))
    labels = classifier.predict(x)
    found = Occlusion()(classifier, x, labels, ImageBudget(5.0, "l0"), seeded())
    assert ((found != x).any(1).flatten(1).sum(1) <= 4).all()
    best = torch.full((4,), -torch.inf)
    wrong = torch.zeros(4, dtype=torch.bool)
    for top in range(4):
        for left in range(4):
            for level in (0.0, 0.5, 1.0):
                covered = x.clone()
                covered[:, :, top : top + 2, left : left + 2] = level
                logits = classifier.logits(covered)
                own = logits.gather(1, labels[:, None]).squeeze(1)
                other = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
                best = best.maximum(other - own)
                wrong |= classifier.predict(covered) != labels
    assert torch.equal(classifier.predict(found) != labels, wrong)
    logits = classifier.logits(found)
    own = logits.gather(1, labels[:, None]).squeeze(1)
    reached = logits.scatter(1, labels[:, None], -torch.inf).amax(1) - own
    assert torch.equal(reached[~wrong], best[~wrong])


def test_the_window_fits_the_budget_and_the_image():
    assert window(9.0, 28, 28) == (3, 3)
    assert window(15.9, 28, 28) == (3, 3)
    assert window(400.0, 5, 28) == (5, 20)
    assert window(6.0, 1, 784) == (1, 6)


def test_bad_parameters_are_refused():
    with pytest.raises(BadInput, match="square: queries 0 below 1"):
        Square(queries=0)
    with pytest.raises(BadInput, match=r"square: share 0 outside \(0, 1\]"):
        Square(share=0)
    with pytest.raises(BadInput, match=r"occlusion: levels \(2.0,\), need some in \[0, 1\]"):
        Occlusion(levels=(2.0,))


def test_square_in_the_round_norms_needs_a_picture(linear):
    x = torch.rand(1, 1, 1, 6, generator=seeded())
    with pytest.raises(BadInput, match="square: images of 1 x 6, l2 needs 5 x 5"):
        Square()(linear(torch.ones(2, 6)), x, torch.tensor([0]), ImageBudget(1.0, "l2"), seeded())
