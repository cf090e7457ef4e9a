from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurorobust.budgets import NORMS, ImageBudget, inside, project

PIXELS = st.lists(
    st.tuples(
        st.floats(0, 1, width=32),
        st.one_of(st.floats(0, 1, width=32), st.floats(-3, 3, width=32)),
    ),
    min_size=4,
    max_size=4,
)


def length(change: list[Fraction], norm: str) -> Fraction:
    """The norm in exact arithmetic; of l2 the square, of l0 over places of two channels."""
    if norm == "linf":
        return max(map(abs, change))
    if norm == "l0":
        return Fraction(sum(any(pair) for pair in zip(change[:2], change[2:], strict=True)))
    return Fraction(sum(abs(part) ** (2 if norm == "l2" else 1) for part in change))


def limit(epsilon: float, norm: str) -> Fraction:
    return Fraction(epsilon) ** (2 if norm == "l2" else 1)


def exact(values: torch.Tensor) -> list[Fraction]:
    return [Fraction(value) for value in values.flatten().tolist()]


@pytest.mark.parametrize("norm", NORMS)
@settings(max_examples=60, deadline=None)
@given(pixels=PIXELS, epsilon=st.floats(0, 1))
def test_never_farther_than_epsilon_in_exact_arithmetic(norm: str, pixels, epsilon: float):
    x, proposal = torch.tensor(pixels).T.reshape(2, 1, 2, 1, 2).unbind(0)
    before = proposal.clone()
    budget = ImageBudget(epsilon, norm)
    found, outside = project(proposal, x, budget)
    assert found.dtype == x.dtype
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    change = [new - old for new, old in zip(exact(found), exact(x), strict=True)]
    assert length(change, norm) <= limit(epsilon, norm)
    assert torch.equal(proposal, before)
    again, twice = project(found, x, budget)
    assert torch.equal(again, found)
    assert not twice.any()
    assert inside(found, x, budget).all()
    wanted = [new - old for new, old in zip(exact(proposal), exact(x), strict=True)]
    legal = min(exact(proposal)) >= 0 and max(exact(proposal)) <= 1
    held = length(wanted, norm) <= limit(epsilon, norm)
    assert bool(inside(proposal, x, budget)) == (legal and held)
    if legal and held:
        assert torch.equal(found, proposal)
        assert not outside.any()


@pytest.mark.parametrize("norm", ["l2", "l1", "linf"])
def test_nothing_on_a_grid_is_nearer(norm: str):
    generator = torch.Generator().manual_seed(1)
    steps = [number / 40 for number in range(41)]
    grid = torch.tensor(list(itertools.product(steps, steps)), dtype=torch.float64)
    for _ in range(20):
        x = torch.rand(1, 1, 1, 2, generator=generator)
        proposal = 4 * torch.rand(x.shape, generator=generator) - 2
        epsilon = 0.5 * float(torch.rand(1, generator=generator))
        found, _ = project(proposal, x, ImageBudget(epsilon, norm))
        order = {"l2": 2, "l1": 1, "linf": torch.inf}[norm]
        near = (grid - x.double().view(1, 2)).norm(p=order, dim=1) <= epsilon
        if not near.any():
            continue
        best = (grid[near] - proposal.double().view(1, 2)).norm(dim=1).min()
        assert float((found - proposal).double().norm()) <= float(best) + 1e-6


def test_l0_keeps_the_places_that_changed_most():
    x = torch.full((1, 2, 1, 3), 0.5)
    change = torch.tensor([[[[0.1, 0.3, 0.0]], [[0.1, 0.0, 0.2]]]])
    found, outside = project(x + change, x, ImageBudget(1.9, "l0"))
    assert outside.all()
    assert (found != x).flatten(1).nonzero()[:, 1].tolist() == [1]
    found, _ = project(x + change, x, ImageBudget(2, "l0"))
    assert (found != x).flatten(1).nonzero()[:, 1].tolist() == [1, 5]


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_what_rounding_moved_is_no_cheat(norm: str):
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    away = (x - 0.5).sign() * -0.1
    size = away[0].double().norm(p=int(norm[1])).item()
    found, outside = project(x + away, x, ImageBudget(size, norm))
    assert not outside.any()
    assert inside(found, x, ImageBudget(size, norm)).all()
    assert project(x + 1.01 * away, x, ImageBudget(size, norm))[1].all()


def test_rows_do_not_depend_on_each_other():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(5, 3, 4, 4, generator=generator)
    proposal = 3 * torch.rand(x.shape, generator=generator) - 1
    for norm in NORMS:
        budget = ImageBudget(0.7, norm)
        whole, _ = project(proposal, x, budget)
        alone = [project(proposal[i : i + 1], x[i : i + 1], budget)[0] for i in range(5)]
        assert torch.equal(whole, torch.cat(alone))
