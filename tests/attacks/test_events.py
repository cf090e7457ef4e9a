"""What every attack on spikes promises, whole budgets included."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from neurorobust.attacks.events import EVENTS
from neurorobust.attacks.queries import counted
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.budgets import ImageBudget, PatchBudget, ShiftBudget, SpikeBudget
from neurorobust.errors import BadInput

SHAPE = (2, 4, 2, 6)
BUDGETS = {
    "flips": [
        SpikeBudget(1),
        SpikeBudget(7),
        SpikeBudget(7, insertions=3),
        SpikeBudget(7, insertions=0, deletions=4),
        SpikeBudget(9, insertions=5, deletions=2),
        SpikeBudget(7, channel=1, rows=(1, 3), columns=(1, 2)),
    ],
    "shifts": [
        ShiftBudget(1),
        ShiftBudget(3, total=4),
        ShiftBudget(2, spikes=2),
        ShiftBudget(9, total=7, spikes=3),
    ],
    "patches": [PatchBudget(1, 1), PatchBudget(2, 1), PatchBudget(9, 9)],
}
ZERO = {"flips": SpikeBudget(0), "shifts": ShiftBudget(0), "patches": PatchBudget(0, 3)}
QUICK = {
    "sda": {"steps": 30, "rounds": 1, "pool": 4},
    "sparse-search": {"queries": 60, "fewest": True},
    "pointwise": {"queries": 60},
    "gumbel": {"steps": 8},
    "retiming": {"steps": 8},
    "g2s": {"steps": 8},
    "spikefool": {"outer": 4, "inner": 12},
    "patch-universal": {"steps": 3, "places": 2},
    "flip-search": {"queries": 120, "pool": 8, "swaps": 6, "steps": 3},
    "move-search": {"queries": 120, "pool": 8, "swaps": 6, "steps": 3},
    "patch-search": {"queries": 120, "pool": 8, "swaps": 6, "places": 2, "steps": 3},
}
ATTACKS = {
    name: replace(attack, **QUICK[name]) if name in QUICK else attack
    for name, attack in EVENTS.items()
}
CASES = [(name, budget) for name, attack in EVENTS.items() for budget in BUDGETS[attack.kind]]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def target(spiking):
    """A random network on a sensor of 2 polarities, 4 rows and 2 columns, and its spikes."""
    classifier = spiking("direct", readout="membrane")
    x = (torch.rand(7, *SHAPE, generator=seeded(1)) < 0.3).to(torch.uint8)
    return classifier, x, classifier.predict(x)


def moves(before: torch.Tensor, after: torch.Tensor) -> list[int]:
    """Of one sample: the spikes of each line paired in order."""
    found = []
    for old, new in zip(before.reshape(-1, SHAPE[-1]), after.reshape(-1, SHAPE[-1]), strict=True):
        assert int(old.sum()) == int(new.sum()), "a spike was made or lost"
        found += (old.nonzero().flatten() - new.nonzero().flatten()).abs().tolist()
    return found


def inside(x: torch.Tensor, found: torch.Tensor, budget) -> bool:
    """One sample, by the budget's own words."""
    changed = x != found
    if isinstance(budget, SpikeBudget):
        outside = changed.clone()
        channel = slice(None) if budget.channel is None else budget.channel
        rows, columns = (slice(*(span or (None,))) for span in (budget.rows, budget.columns))
        outside[channel, rows, columns] = False
        made, lost = int((changed & (x == 0)).sum()), int((changed & (x == 1)).sum())
        limits = [(made + lost, budget.flips), (made, budget.insertions), (lost, budget.deletions)]
        return not outside.any() and all(most is None or used <= most for used, most in limits)
    if isinstance(budget, ShiftBudget):
        far = moves(x, found)
        limits = [(sum(far), budget.total), (sum(step > 0 for step in far), budget.spikes)]
        return max(far, default=0) <= budget.reach and all(
            most is None or used <= most for used, most in limits
        )
    places = changed.any(0).any(-1).nonzero()
    if not len(places):
        return True
    height, width = (places.amax(0) - places.amin(0) + 1).tolist()
    return height <= budget.height and width <= budget.width


@pytest.mark.parametrize(("name", "budget"), CASES)
def test_what_is_proposed_is_binary_and_inside_the_whole_budget(target, name: str, budget):
    classifier, x, labels = target
    before, state = x.clone(), torch.get_rng_state()
    found = ATTACKS[name](classifier, x, labels, budget, seeded(3))
    assert found.dtype == torch.uint8
    assert found.shape == x.shape
    assert int(found.max()) <= 1
    assert all(inside(x[row], found[row], budget) for row in range(len(x)))
    assert torch.equal(found, ATTACKS[name](classifier, x, labels, budget, seeded(3)))
    assert torch.equal(x, before)
    assert torch.equal(torch.get_rng_state(), state), "the global generator was used"


@pytest.mark.parametrize("name", EVENTS)
def test_a_zero_budget_and_an_empty_batch_change_nothing(target, name: str):
    classifier, x, labels = target
    attack = ATTACKS[name]
    assert torch.equal(attack(classifier, x, labels, ZERO[attack.kind], seeded()), x)
    wide = BUDGETS[attack.kind][0]
    assert attack(classifier, x[:0], labels[:0], wide, seeded()).shape == (0, *SHAPE)
    with pytest.raises(BadInput, match=f"{name}: needs a budget on "):
        attack(classifier, x, labels, ImageBudget(0.1), seeded())


@pytest.mark.parametrize("name", [name for name in EVENTS if "universal" not in name])
def test_a_sample_is_attacked_on_its_own(target, name: str):
    classifier, x, labels = target
    attack = ATTACKS[name]
    budget = {"flips": SpikeBudget(5), "shifts": ShiftBudget(2), "patches": PatchBudget(2, 1)}
    chosen = budget[attack.kind]
    alone = attack(classifier, x[:1], labels[:1], chosen, seeded(3))
    together = attack(classifier, x, labels, chosen, seeded(3))
    assert torch.equal(alone, together[:1])


@pytest.mark.parametrize("name", [name for name in EVENTS if not ATTACKS[name].control])
def test_an_attack_changes_something(target, name: str):
    classifier, x, labels = target
    attack = ATTACKS[name]
    budget = {"flips": SpikeBudget(8), "shifts": ShiftBudget(2), "patches": PatchBudget(2, 2)}
    found = attack(classifier, x, labels, budget[attack.kind], seeded(3))
    assert not torch.equal(found, x)


@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e4])
@pytest.mark.parametrize(
    "name",
    [
        "sda",
        "flip-search",
        "g2s",
        "spikefool",
        "gumbel",
        "retiming",
        "move-search",
        "sparse-search",
    ],
)
def test_the_logit_scale_changes_nothing(target, name: str, scale: float):
    classifier, x, labels = target
    other = replace(classifier, readout=replace(classifier.readout, scale=scale))
    attack = ATTACKS[name]
    budget = {"flips": SpikeBudget(4), "shifts": ShiftBudget(2)}[attack.kind]
    first = attack(classifier, x, labels, budget, seeded(3))
    assert torch.equal(first, attack(other, x, labels, budget, seeded(3)))


@pytest.mark.parametrize("name", ["sparse-search", "pointwise", "corner", "frame", "dash"])
def test_what_asks_only_runs_without_gradients(target, name: str):
    classifier, x, labels = target
    slow = replace(classifier, backend=ReferenceBackend(classifier.backend.model))
    attack = ATTACKS[name]
    found = attack(slow, x[:2], labels[:2], SpikeBudget(5), seeded(3))
    assert torch.equal(found, attack(classifier, x[:2], labels[:2], SpikeBudget(5), seeded(3)))


@pytest.mark.parametrize(
    ("name", "most"), [("sparse-search", 60), ("pointwise", 60), ("corner", 12), ("dash", 24)]
)
def test_queries_are_counted_and_kept_to(target, name: str, most: int):
    classifier, x, labels = target
    counting = counted(classifier)
    ATTACKS[name](counting, x, labels, SpikeBudget(5), seeded())
    asked = counting.tally.samples
    assert asked is not None
    assert int(asked.min()) >= 1
    assert int(asked.max()) <= most
    assert counting.tally.forward == int(asked.sum())


def test_drops_only_delete_and_insertions_only_insert(target):
    classifier, x, labels = target
    dropped = EVENTS["random-drop"](classifier, x, labels, SpikeBudget(5), seeded())
    inserted = EVENTS["random-insert"](classifier, x, labels, SpikeBudget(5), seeded())
    assert ((x - dropped).flatten(1).sum(1) == 5).all()
    assert (dropped <= x).all()
    assert ((inserted - x).flatten(1).sum(1) == 5).all()
    assert (inserted >= x).all()
