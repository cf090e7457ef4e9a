from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurorobust.budgets import (
    PatchBudget,
    ShiftBudget,
    SpikeBudget,
    allowed,
    inside,
    moves,
    project,
)

SHAPE = (2, 2, 3, 2, 5)  # batch, channels, rows, columns, steps
COUNT = 2 * 2 * 3 * 2 * 5
MANY = settings(max_examples=80, deadline=None)
seeds = st.integers(0, 10_000)
limits = st.none() | st.integers(0, 12)


def binary(seed: int, share: float = 0.4, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(shape, generator=generator) < share).to(torch.uint8)


def pair(seed: int, changed: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    x = binary(seed)
    return x, x ^ binary(seed + 1, changed)


def same(found: torch.Tensor, outside: torch.Tensor, proposal: torch.Tensor) -> None:
    """A projection says that it changed something exactly where it did."""
    assert found.dtype == torch.uint8
    assert outside.tolist() == (found != proposal).flatten(1).any(1).tolist()


@MANY
@given(seeds, st.integers(0, 30), limits, limits, st.sampled_from([None, 0, 1]),
       st.sampled_from([None, (1, 3)]), st.sampled_from([None, (0, 1)]))  # fmt: skip
def test_flips_stay_in_every_limit_and_spend_what_they_can(
    seed, flips, insertions, deletions, channel, rows, columns
):
    x, proposal = pair(seed)
    budget = SpikeBudget(flips, insertions, deletions, channel, rows, columns)
    found, outside = project(proposal, x, budget)
    same(found, outside, proposal)
    changed = found != x
    assert not (changed & ~allowed(x, budget)).any()
    assert not (changed & (found != proposal)).any()  # nothing is flipped that was not proposed
    for row in range(len(x)):
        added = int((changed & (x == 0))[row].sum())
        lost = int((changed & (x == 1))[row].sum())
        wished = (proposal != x)[row] & allowed(x, budget)[row]
        could_add = int((wished & (x[row] == 0)).sum())
        could_lose = int((wished & (x[row] == 1)).sum())
        could_add = could_add if insertions is None else min(could_add, insertions)
        could_lose = could_lose if deletions is None else min(could_lose, deletions)
        assert added <= could_add
        assert lost <= could_lose
        assert added + lost == min(flips, could_add + could_lose)  # the nearest there is
    assert torch.equal(project(found, x, budget)[0], found)
    assert inside(found, x, budget).all()


def test_flips_are_kept_in_order():
    x = torch.tensor([[0, 1, 0, 1]], dtype=torch.uint8).view(1, 4, 1, 1, 1)
    proposal = 1 - x
    for budget, kept in (
        (SpikeBudget(2), [0, 1]),
        (SpikeBudget(4, 1, 2), [0, 1, 3]),
        (SpikeBudget(2, 0, None), [1, 3]),
        (SpikeBudget(9, channel=2), [2]),
        (SpikeBudget(9, channel=7), []),
    ):
        found, _ = project(proposal, x, budget)
        assert (found != x).flatten().nonzero().flatten().tolist() == kept


@MANY
@given(seeds, st.integers(0, 5), st.none() | st.integers(0, 15), st.none() | st.integers(0, 8))
def test_shifts_keep_lines_reach_and_limits(seed, reach, total, spikes):
    x = binary(seed)
    proposal = retimed(x, seed + 1)
    budget = ShiftBudget(reach, total, spikes)
    found, outside = project(proposal, x, budget)
    same(found, outside, proposal)
    assert torch.equal(found.sum(-1), x.sum(-1))
    made = moves(found, x)
    assert not made.broken.any()
    assert int(made.by.abs().max()) <= reach
    for row in range(len(x)):
        by = made.by[made.sample == row]
        assert total is None or int(by.abs().sum()) <= total
        assert spikes is None or int((by != 0).sum()) <= spikes
    assert torch.equal(project(found, x, budget)[0], found)
    wanted = moves(proposal, x)
    for row in range(len(x)):
        by = wanted.by[wanted.sample == row]
        legal = int(by.abs().max()) <= reach
        legal &= total is None or int(by.abs().sum()) <= total
        legal &= spikes is None or int((by != 0).sum()) <= spikes
        assert bool(inside(proposal, x, budget)[row]) == legal


def retimed(x: torch.Tensor, seed: int) -> torch.Tensor:
    """Every line's spikes at random other steps."""
    lots = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed))
    rank = lots.argsort(-1).argsort(-1)
    return (rank < x.sum(-1, keepdim=True)).to(torch.uint8)


def line(*steps: int, length: int = 10) -> torch.Tensor:
    x = torch.zeros(1, 1, 1, 1, length, dtype=torch.uint8)
    x[..., list(steps)] = 1
    return x


def steps_of(found: torch.Tensor) -> list[int]:
    return found.flatten().nonzero().flatten().tolist()


def test_shifts_on_paper():
    x = line(2, 5)
    for proposal, budget, expected in (
        (line(5, 9), ShiftBudget(3), [5, 8]),  # clipped to the reach, no collision
        (line(2, 5, 7), ShiftBudget(9), [2, 5]),  # a spike was made: the line goes back
        (line(3, 9), ShiftBudget(9, spikes=1), [3, 5]),  # the first that fits
        (line(5, 6), ShiftBudget(9, spikes=1), [2, 5]),  # one needs the other: both go back
        (line(2, 9), ShiftBudget(9, total=3), [2, 8]),  # as far as the total allows
        (line(3, 4), ShiftBudget(0), [2, 5]),
        (line(3, 4), ShiftBudget(1, total=2, spikes=2), [3, 4]),
    ):
        found, _ = project(proposal, x, budget)
        assert steps_of(found) == expected


def test_only_the_line_that_gained_a_spike_goes_back():
    x = torch.cat([line(2), line(4)], dim=1)
    proposal = torch.cat([line(3), line(4, 6)], dim=1)
    found, outside = project(proposal, x, ShiftBudget(2))
    assert outside.all()
    assert torch.equal(found, torch.cat([line(3), line(4)], dim=1))


@MANY
@given(seeds, st.integers(0, 4), st.integers(0, 3))
def test_a_patch_is_the_rectangle_that_keeps_most(seed, height, width):
    x, proposal = pair(seed, 0.1)
    found, outside = project(proposal, x, PatchBudget(height, width))
    same(found, outside, proposal)
    changed = (proposal != x).sum((1, 4))
    kept = (found != x).sum((1, 4))
    tall, wide = min(height, 3), min(width, 2)
    for row in range(len(x)):
        best = max(
            int(changed[row, top : top + tall, left : left + wide].sum())
            for top in range(3 - tall + 1)
            for left in range(2 - wide + 1)
        )
        assert int(kept[row].sum()) == best
        places = kept[row].nonzero()
        if len(places):
            span = places.amax(0) - places.amin(0) + 1
            assert int(span[0]) <= height
            assert int(span[1]) <= width
    assert torch.equal(project(found, x, PatchBudget(height, width))[0], found)


def test_of_equal_patches_the_topmost_leftmost():
    x = torch.zeros(1, 1, 4, 4, 2, dtype=torch.uint8)
    proposal = x.clone()
    proposal[0, 0, [0, 3, 1], [3, 0, 0], 0] = 1
    found, _ = project(proposal, x, PatchBudget(1, 1))
    assert found.nonzero().tolist() == [[0, 0, 0, 3, 0]]
    images = torch.zeros(1, 3, 4, 4)
    found, _ = project(images + 1, images, PatchBudget(2, 2))
    assert found[0, 0].tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0] * 4, [0] * 4]


def test_a_batch_without_a_spike_stays():
    x = torch.zeros(2, 1, 1, 1, 4, dtype=torch.uint8)
    proposal = x.clone()
    proposal[0, ..., 1] = 1
    found, outside = project(proposal, x, ShiftBudget(3, 1, 1))
    assert torch.equal(found, x)
    assert outside.tolist() == [True, False]
