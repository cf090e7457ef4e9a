"""The local search over corners: it finds the best, counts its queries, tells ties apart."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from neurorobust.attacks.exact import Exact
from neurorobust.attacks.images.corner_search import CornerSearch
from neurorobust.attacks.queries import counted
from neurorobust.budgets import ImageBudget, inside, project
from neurorobust.errors import BadInput
from neurorobust.readouts import first_argmax


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def asked(spiking):
    classifier = spiking()
    x = torch.rand(24, 1, 4, 4, generator=generator(4))
    return classifier, x, classifier.predict(x)


def corners(x: torch.Tensor, budget: ImageBudget, count: int) -> torch.Tensor:
    """All corners of the ball in the first `count` pixels, `[2^count, C, H, W]`; x `[1, ...]`."""
    signs = torch.tensor(list(product((-1.0, 1.0), repeat=count)))
    change = torch.zeros(len(signs), x.numel())
    change[:, :count] = 2 * budget.epsilon * signs
    start = x.expand(len(signs), *x.shape[1:])
    return project(start + change.view_as(start), start, budget)[0]


def test_what_any_corner_breaks_is_broken(spiking):
    """A tiny network, every corner tried: 2^10 of them."""
    classifier = spiking()
    x = torch.rand(8, 1, 4, 4, generator=generator(6))
    x[:, :, 2, 2:], x[:, :, 3] = 0, 0
    labels, budget = classifier.predict(x), ImageBudget(0.06)
    weight = classifier.encoder.weight
    assert weight > 0
    possible = torch.tensor(
        [bool((classifier.predict(corners(one, budget, 10)) != label).any())
         for one, label in zip(x.split(1), labels, strict=True)]
    )  # fmt: skip
    attack = CornerSearch(steps=3, queries=3000)
    found = attack(classifier, x, labels, budget, generator())
    fallen = classifier.predict(found) != labels
    assert 0 < int(possible.sum()) < len(x)
    assert not bool((possible & ~fallen).any())


def test_it_claims_what_the_network_then_says(asked):
    classifier, x, labels = asked
    budget = ImageBudget(0.08)
    proposal = CornerSearch(steps=3, queries=400).propose(
        classifier, x, labels, budget, generator()
    )
    assert bool(inside(proposal.x, x, budget).all())
    fallen = classifier.predict(proposal.x) != labels
    assert torch.equal(proposal.claimed, fallen)
    assert 0 < int(fallen.sum()) < len(x)


def test_it_breaks_what_its_start_does_not(asked):
    classifier, x, labels = asked
    budget = ImageBudget(0.08)
    few, many = (
        CornerSearch(steps=1, restarts=1, queries=queries)(
            classifier, x, labels, budget, generator()
        )
        for queries in (1, 600)
    )
    before, after = (classifier.predict(found) != labels for found in (few, many))
    assert not bool((before & ~after).any())
    assert int(after.sum()) > int(before.sum())


@pytest.mark.parametrize("queries", [1, 50, 300])
def test_no_sample_takes_more_queries_than_allowed(asked, queries: int):
    classifier, x, labels = asked
    watched = counted(classifier)
    attack = CornerSearch(steps=2, restarts=2, queries=queries)
    attack(watched, x, labels, ImageBudget(0.02), generator())
    assert int(watched.tally.samples.max()) <= 2 * max(queries, 2)
    assert watched.tally.forward >= int(watched.tally.samples.sum())


def test_equal_counts_are_told_apart_by_the_membrane(asked):
    classifier, x, labels = asked
    exact = Exact(classifier, labels, generator())
    rows = torch.arange(len(x))
    points = (x + 0.01 * torch.randn(x.shape, generator=generator(3))).clamp(0, 1)
    wrong, score = exact(points, rows)
    run = classifier.run(points)
    counts, membrane = run.spikes.long().sum(-1), run.membrane.long()
    assert torch.equal(wrong > 0, first_argmax(counts) != labels)
    finer = [[(int(c), int(m)) for c, m in zip(*row, strict=True)]
             for row in zip(counts, membrane, strict=True)]  # fmt: skip
    for row, label in enumerate(labels.tolist()):
        best = max(value for place, value in enumerate(finer[row]) if place != label)
        assert (score[row] > 0) == (best > finer[row][label])
    assert exact.used.tolist() == [1] * len(x)


def test_only_the_cube_has_such_corners(asked):
    classifier, x, labels = asked
    with pytest.raises(BadInput, match=r"corner-search: needs a budget on images \(linf\), got"):
        CornerSearch()(classifier, x, labels, ImageBudget(1.0, "l2"), generator())
    with pytest.raises(BadInput, match="corner-search: queries 0 below 1"):
        CornerSearch(queries=0)
