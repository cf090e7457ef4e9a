"""The exact searches: what they ask, what they keep, and that they find what is there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from neurorobust.attacks.events.edits import toggled
from neurorobust.attacks.events.moves import Moves
from neurorobust.attacks.events.search import FlipSearch, MoveSearch, PatchSearch
from neurorobust.attacks.feasible import Feasible
from neurorobust.attacks.finer import FineFlipQueries
from neurorobust.attacks.modes import surrogate
from neurorobust.attacks.queries import counted
from neurorobust.attacks.recipes import EVENTS_2
from neurorobust.backends.base import InProcess
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.budgets import ShiftBudget, SpikeBudget, parse
from neurorobust.classifier import Classifier
from neurorobust.encoders import DirectEncoder
from neurorobust.readouts import Readout
from neurorobust.types import Run

QUICK = {"queries": 150, "pool": 12, "swaps": 6}
SEARCHES = {
    "flips": (FlipSearch(**QUICK), ["4", "insert=5+delete=3", "6+channel=1", "6+rows=1:3"]),
    "shifts": (MoveSearch(**QUICK), ["reach=1", "reach=3+total=5", "reach=2+spikes=3"]),
    "patches": (PatchSearch(**QUICK, places=2), ["2x1"]),
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["count", "membrane"])
def target(spiking, request):
    classifier = spiking("direct", readout=request.param)
    x = (torch.rand(6, 2, 4, 2, 6, generator=seeded(1)) < 0.3).to(torch.uint8)
    return classifier, x, classifier.predict(x)


@pytest.mark.parametrize("kind", SEARCHES)
def test_what_is_broken_is_broken_on_the_reference_too(target, kind: str):
    classifier, x, labels = target
    attack, budgets = SEARCHES[kind]
    slow = replace(classifier, backend=ReferenceBackend(classifier.backend.model))
    for text in budgets:
        found = attack(classifier, x, labels, parse(kind, text), seeded())
        wrong = classifier.predict(found) != labels
        assert bool(wrong.any())
        assert torch.equal(slow.predict(found) != labels, wrong)


@pytest.mark.parametrize("kind", SEARCHES)
def test_every_question_is_counted_and_what_is_broken_asks_no_more(target, kind: str):
    classifier, x, labels = target
    attack, budgets = SEARCHES[kind]
    labels = labels.clone()
    labels[0] = (labels[0] + 1) % 4  # wrong already
    counting = counted(classifier)
    found = attack(counting, x, labels, parse(kind, budgets[0]), seeded())
    asked = counting.tally.samples
    assert asked is not None
    heat = len(x) if kind == "patches" else 0  # one gradient says where
    assert counting.tally.forward + counting.tally.gradients == int(asked.sum()) + heat
    assert torch.equal(found[0], x[0])
    assert int(asked[0]) <= 2  # no more than once a place
    broken = classifier.predict(found) != labels
    assert int(asked[broken].max()) < int(asked.max()) or bool(broken.all())
    round_ = attack.pool * (1 + attack.drops) + 40
    assert int(asked.max()) <= (attack.queries + round_) * (2 if kind == "patches" else 1)


@pytest.mark.parametrize("kind", SEARCHES)
def test_where_nothing_may_change_nothing_does_and_little_is_asked(spiking, kind: str):
    classifier = spiking("direct")
    attack, _ = SEARCHES[kind]
    x = torch.zeros(3, 2, 4, 2, 6, dtype=torch.uint8)
    labels = classifier.predict(x)
    budget = {"flips": "delete=5", "shifts": "reach=2", "patches": "0x2"}[kind]
    counting = counted(classifier)
    assert torch.equal(attack(counting, x, labels, parse(kind, budget), seeded()), x)
    assert counting.tally.mean(len(x)) <= 2


def test_a_sample_without_any_gradient_is_searched_blindly(spiking):
    classifier = spiking("direct")
    x = (torch.rand(6, 2, 4, 2, 6, generator=seeded(1)) < 0.3).to(torch.uint8)
    labels = classifier.predict(x)
    blind = replace(FlipSearch(**QUICK), modes=(surrogate("triangle", 1e-9),))
    assert not blind.gradient(classifier, x, labels, seeded()).any()
    found = blind(classifier, x, labels, SpikeBudget(8), seeded())
    assert int((classifier.predict(found) != labels).sum()) >= 1
    assert bool(Feasible.of("", x, SpikeBudget(8)).inside((found != x).flatten(1)).all())


class Together(InProcess):
    """Three bits; the margin is 3a + 2b + 2c - ab - ac + 2bc - 5: only b and c win, with two."""

    name = "together"
    about, query_batch = "a double for tests", 64

    def __init__(self, model) -> None:
        self.model = model

    def run(self, inputs, record=(), clock="aligned"):
        membrane = self._margin(inputs.values.double())
        return Run(torch.zeros(len(inputs), 2, 1, dtype=torch.uint8), membrane, {})

    def forward(self, inputs, surrogate):
        return Run(inputs.values.flatten(1)[:, :2, None], self._margin(inputs.values), {})

    def _margin(self, spikes):
        a, b, c = spikes.flatten(1).unbind(1)
        return torch.stack([a * 0, 3 * a + 2 * b + 2 * c - a * b - a * c + 2 * b * c - 5], 1)


@pytest.mark.parametrize("drops", [0, 2])
def test_an_exchange_finds_what_greed_alone_misses(spiking, drops: int):
    backend = Together(spiking("direct").backend.model)
    classifier = Classifier(DirectEncoder((3, 1, 1)), backend, Readout("membrane", 1.0))
    x, labels = torch.zeros(1, 3, 1, 1, 1, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64)
    attack = FlipSearch(queries=12, pool=6, swaps=6, drops=drops)
    found = attack(classifier, x, labels, SpikeBudget(2), seeded())
    assert (found.flatten().tolist() == [0, 1, 1]) is (drops > 0)
    assert int(found.sum()) == 2


def test_a_new_life_escapes_what_exchanges_do_not(spiking):
    """Without exchanges, and with enough questions, b is kept by chance and c comes."""
    backend = Together(spiking("direct").backend.model)
    classifier = Classifier(DirectEncoder((3, 1, 1)), backend, Readout("membrane", 1.0))
    x, labels = torch.zeros(1, 3, 1, 1, 1, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64)
    attack = FlipSearch(queries=400, pool=6, swaps=6, drops=0)
    found = attack(classifier, x, labels, SpikeBudget(2), seeded())
    assert found.flatten().tolist() == [0, 1, 1]


def test_a_large_budget_is_spent_in_few_steps(spiking):
    classifier = spiking("direct")
    x = (torch.rand(6, 2, 4, 2, 6, generator=seeded(1)) < 0.3).to(torch.uint8)
    labels = classifier.predict(x)
    asked = []
    for steps in (4, 40):
        counting = counted(classifier)
        attack = replace(FlipSearch(**QUICK), steps=steps)
        found = attack(counting, x, labels, SpikeBudget(40), seeded())
        assert int((found != x).flatten(1).sum(1).max()) <= 40
        assert int((classifier.predict(found) != labels).sum()) == len(x)
        asked.append(counting.tally.gradients)
    assert asked[0] <= asked[1]


def test_a_move_keeps_its_line_and_costs_the_cheapest_pairing():
    x = torch.tensor([[1, 1, 0, 0, 1, 0], [0, 0, 1, 0, 0, 0]], dtype=torch.uint8).view(
        1, 2, 1, 1, 6
    )
    edits = Moves.of("", x, ShiftBudget(2, total=3, spikes=2))
    none, row = torch.zeros(1, 12, dtype=torch.bool), torch.zeros(1, dtype=torch.int64)

    def fits(*places: int) -> bool:
        return bool(edits.inside(toggled(none, torch.tensor([places])), row))

    assert fits(1, 2)
    assert fits(0, 2)  # the second spike moves one step, and the first takes its place
    assert fits(4, 5, 8, 10)
    assert not fits(1, 3, 8, 10)  # four steps in all
    assert not fits(4, 8)  # another line
    assert not fits(2)  # a spike made
    assert fits(0, 3)  # 0 -> 1 and 1 -> 3: two spikes, three steps in all
    assert not fits(0, 3, 8, 9)  # a third spike
    assert not fits(0, 5)  # 0 -> 1, 1 -> 4, 4 -> 5: too far, and three spikes


@pytest.mark.parametrize("text", ["reach=2", "reach=3+total=5", "reach=2+spikes=3"])
def test_every_move_on_offer_is_inside_the_budget_and_can_be_taken_back(text: str):
    x = (torch.rand(3, 1, 2, 2, 8, generator=seeded(4)) < 0.4).to(torch.uint8)
    edits, rows = Moves.of("", x, parse("shifts", text)), torch.arange(3)
    mask = torch.zeros(3, 32, dtype=torch.bool)
    for turn in range(6):
        slope = torch.randn(3, 32, generator=seeded(turn))
        come = edits.come(mask, rows, slope, 100)
        sample, column = (come[:, :, 0] >= 0).nonzero(as_tuple=True)
        states = toggled(mask[sample], come[sample, column])
        assert bool(edits.inside(states, sample).all())
        for row in sample.unique().tolist():
            mask[row] = states[(sample == row).nonzero()[0, 0]]
        gone = edits.gone(mask, rows, slope, 100)
        sample, column = (gone[:, :, 0] >= 0).nonzero(as_tuple=True)
        fewer = toggled(mask[sample], gone[sample, column])
        assert len(sample)
        assert bool(edits.inside(fewer, sample).all())


def test_charge_tells_apart_what_counts_do_not(spiking):
    classifier = spiking("direct")
    x = (torch.rand(1, 2, 4, 2, 6, generator=seeded(1)) < 0.3).to(torch.uint8)
    flip_queries = FineFlipQueries(classifier, x, classifier.predict(x), seeded())
    one = torch.arange(96)[:, None]
    none = torch.zeros(1, 96, dtype=torch.bool)
    answers = flip_queries(none, torch.zeros(96, dtype=torch.int64), one)
    assert len(answers.charge.unique(dim=0)) > len(answers.integers.unique(dim=0))
    assert flip_queries.asked.tolist() == [96]
    flipped = (x.flatten() ^ torch.eye(96, dtype=torch.uint8)[3]).view(1, 16, 1, 1, 6)
    run = classifier.backend.run(flipped, (2,))
    assert torch.equal(answers.charge[3], run.layers[2].u[0].double().sum(-1))
    assert torch.equal(answers.integers[3], run.spikes[0].double().sum(-1))


@pytest.mark.parametrize("kind", SEARCHES)
def test_the_recipe_ends_with_an_exact_search_of_each_kind(kind: str):
    some = [member for member in EVENTS_2 if member.followed is not True]
    members = [member.ready() for member in some if member.attack.kind == kind]
    assert [member.attack.control for member in members] == [True] + [False] * (len(members) - 1)
    assert members[-1].attack.name == SEARCHES[kind][0].name
    assert len({member.label for member in members}) == len(members)
