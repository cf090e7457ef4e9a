"""Parts of a batch on torch's own threads."""

from __future__ import annotations

import threading

import pytest
import torch

from neurorobust.backends.engine import batch_parts, openmp


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_torch_here_has_a_team():
    assert openmp.usable()


def test_every_member_is_called_once_and_knows_it():
    met, seen = threading.Barrier(2, timeout=60), []

    def share() -> None:
        met.wait()  # two threads, or none gets past it
        seen.append((threading.get_ident(), openmp.inside()))

    openmp.run(share, 2)
    assert len({thread for thread, _ in seen}) == len(seen) == 2
    assert all(inside for _, inside in seen)
    assert not openmp.inside()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_a_part_raises_reaches_the_caller(two_threads, error):
    def work(number: int) -> int:
        if number == 3:
            raise error("part 3")
        return number

    with pytest.raises(error, match="part 3"):
        batch_parts.each(work, 8)
    assert batch_parts.each(lambda number: number, 8) == list(range(8))
    assert not openmp.inside()


def test_parts_within_parts_stay_on_their_thread(two_threads):
    def work(number: int) -> list[int]:
        here = threading.get_ident()
        assert batch_parts.available() == 1
        assert all(
            thread == here for thread in batch_parts.each(lambda _: threading.get_ident(), 4)
        )
        return batch_parts.each(lambda inner: 10 * number + inner, 2)

    assert batch_parts.each(work, 3) == [[0, 1], [10, 11], [20, 21]]


def test_products_in_parts_are_those_of_one_thread(two_threads):
    left = torch.randn((4, 300, 400), generator=torch.Generator().manual_seed(0))
    found = batch_parts.each(lambda number: left[number] @ left[number].t(), 4)
    torch.set_num_threads(1)
    for mine, factor in zip(found, left, strict=True):
        assert torch.equal(mine, factor @ factor.t())


def test_python_threads_may_use_it_at_the_same_time(two_threads):
    answers: dict[int, list[int]] = {}

    def caller(name: int) -> None:
        for _ in range(20):
            answers[name] = batch_parts.each(lambda number: number * name, 5)

    callers = [threading.Thread(target=caller, args=(name,)) for name in (1, 2, 3)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(timeout=60)
    assert answers == {name: [0, name, 2 * name, 3 * name, 4 * name] for name in (1, 2, 3)}
