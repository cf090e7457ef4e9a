"""Networks that draw: chance is not attack."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neurorobust.assess.compare import compare
from neurorobust.attacks import ATTACKS
from neurorobust.attacks.images.pgd import Pgd
from neurorobust.attacks.images.square import Square
from neurorobust.attacks.recipes import EVERY, STRONGEST, Member, Recipe
from neurorobust.checks import flags
from neurorobust.classifier import Classifier
from neurorobust.datasets.base import Dataset
from neurorobust.errors import BadInput
from neurorobust.evaluation import Request, evaluate, load_samples
from neurorobust.evaluation.draws import Draws
from neurorobust.records import Card, EncoderCard, Record
from neurorobust.statistics import wilson

SAMPLES, STEPS = 70, 12
CARD = Card(encoder=EncoderCard(kind="poisson"), steps=STEPS, readout="count")
MANY = Recipe(
    name="many-1",
    members=(
        Member(ATTACKS["random"]),
        Member(Pgd("pgd", steps=3, draws=2), EVERY),
        Member(Pgd("long", steps=4, draws=2), STRONGEST),
        Member(Square("square", queries=20)),
    ),
    modes=("fast-sigmoid-0.25", "triangle-1", "atan-2", "sigmoid-1", "bptr"),
    choosers=(Pgd(steps=2),),
    probes=(Pgd(steps=2),),
    widths=tuple(Member(Pgd(), name).ready().attack.mode for name in ("atan-2", "sigmoid-1")),
    targeted=(),
)


def dataset(classifier: Classifier, samples: int = SAMPLES) -> Dataset:
    """Pictures with the label that most draws give."""
    x = torch.rand(samples, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    votes = torch.stack(
        [classifier.predict(x, torch.Generator().manual_seed(draw)) for draw in range(15)]
    )
    return Dataset("toy", "test", x, votes.mode(0).values, 4)


@pytest.fixture(scope="module")
def poisson(spiking) -> Classifier:
    return spiking("poisson")


def run(
    classifier: Classifier, *attacks: Any, eps: str = "1e-5", out: Path | None = None, **more: Any
) -> Record:
    request = Request(attacks, {"eps": [eps]}, **more)
    return evaluate(classifier, dataset(classifier), request, card=CARD, out=out)


@dataclass(frozen=True)
class Still:
    """Proposes x, or x moved a little: it can break nothing."""

    name: str = "still"
    step: float = 0.0
    kind: str = "eps"
    access: str = "white-box"
    control: bool = False

    def __call__(self, classifier, x, labels, budget, generator):
        return (x + self.step).clamp(0, 1)


def test_eighteen_attacks_that_change_nothing_break_nothing(poisson):
    record = run(poisson, *(Still(f"still-{place}") for place in range(18)), seeds=3)
    assert record.redraw is not None
    assert record.redraw.correct > 0  # one draw to the next answers do change
    robust = record.robust["eps"]["1e-5"]
    assert robust.correct == record.clean.correct < SAMPLES
    assert robust.interval == record.clean.interval
    assert all(rate.success.correct == 0 for rate in robust.by_attack.values())
    assert {rate.correct for rate in robust.by_seed.values()} == {record.clean.correct}


def test_a_whole_recipe_at_a_vanishing_budget_leaves_the_clean_accuracy(poisson):
    record = run(poisson, MANY, seeds=3, draws=4)
    robust = record.robust["eps"]["1e-5"]
    assert robust.correct == record.clean.correct
    assert len(robust.by_attack) == 8
    assert not any("masked" in flag for flag in flags(record))


def test_what_harms_in_every_draw_counts_as_attack(poisson):
    record = run(poisson, Pgd(steps=10, draws=4), eps="0.4", control=False)
    robust = record.robust["eps"]["0.4"]
    assert robust.correct < record.clean.correct / 2
    success = robust.by_attack["pgd-linf"].success
    assert success.correct == pytest.approx(record.clean.correct - robust.correct)
    assert success.total == record.clean.correct


def test_counts_are_means_over_scoring_draws_and_intervals_over_samples(poisson, tmp_path):
    attack = Pgd(steps=3, draws=2)
    record = run(poisson, attack, eps="0.1", out=tmp_path / "run", draws=4, control=False)
    samples = load_samples(tmp_path / "run")
    name = "eps=0.1/pgd-linf"
    shares = samples["scoring/clean"]
    assert set(np.unique(shares * 4)) <= {0.0, 1.0, 2.0, 3.0, 4.0}
    assert record.clean.correct == pytest.approx(shares.sum())
    assert record.clean.interval == wilson(float(shares.sum()), SAMPLES)
    worse = samples[f"selecting/{name}"] < samples["selecting/clean"]
    assert 0 < worse.sum() < SAMPLES
    picked = np.where(worse, samples[f"scoring/{name}"], shares)
    assert record.robust["eps"]["0.1"].correct == pytest.approx(picked.sum())
    assert record.draws == 4


def test_draws_meet_x_and_proposals_alike_whichever_samples_are_asked(poisson):
    data, draws = dataset(poisson), Draws(0, 3, 4)
    whole = draws.score(poisson, data.x, data.y)
    rows = torch.tensor([5, 2, 40])
    part = draws.score(poisson, data.x[rows], data.y[rows], rows)
    assert torch.equal(part.scoring, whole.scoring[rows])
    assert torch.equal(part.selecting, whole.selecting[rows])
    assert part.drawn is not None
    assert whole.drawn is not None
    assert torch.equal(part.drawn, whole.drawn[rows])
    assert not torch.equal(whole.selecting, whole.scoring)  # other draws
    assert not torch.equal(whole.scoring, Draws(0, 4, 4).score(poisson, data.x, data.y).scoring)


def test_a_sample_leaves_a_recipe_when_half_of_the_selecting_draws_are_wrong(poisson, tmp_path):
    record = run(poisson, MANY, eps="0.2", out=tmp_path / "run")
    samples = load_samples(tmp_path / "run")
    standing = samples["selecting/clean"] > 0.5
    for member in record.recipe.members if record.recipe else ():
        if member == "random":
            continue
        name = f"eps=0.2/{member}"
        assert np.array_equal(samples[f"asked/{name}"], standing)
        standing &= samples[f"selecting/{name}"] > 0.5
    assert standing.sum() < (samples["selecting/clean"] > 0.5).sum()
    assert (samples["selecting/eps=0.2/many-1"] <= samples["selecting/clean"]).all()


def test_one_draw_is_possible_and_says_so(poisson, spiking):
    said = "1 draw of the random encoder selects a proposal and 1 scores it"
    one = run(poisson, Pgd(steps=2, draws=10), eps="0.1", draws=1)
    assert one.draws == 1
    assert one.clean.correct == round(one.clean.correct)
    assert any(flag.startswith(said) for flag in flags(one))
    assert not any(flag.startswith(said) for flag in flags(run(poisson, Pgd(draws=10, steps=2))))
    drive = spiking("drive")
    plain = Card(encoder=EncoderCard(kind="drive", mean=0, std=1), steps=STEPS, readout="count")
    assert evaluate(drive, dataset(drive, 8), Request(), card=plain).draws is None
    with pytest.raises(BadInput, match="draws 0: below 1"):
        run(poisson, Pgd(), draws=0)


def test_two_networks_that_draw_are_compared_by_the_same_draws(poisson):
    attack = Pgd(steps=2)
    request = Request([attack], {"eps": ["1e-5"]}, compare_with=attack)
    found = compare(poisson, poisson, dataset(poisson), request)
    assert found[0].flips == 0
    assert [cell.success.correct for cell in found[0].cells] == [0, 0, 0, 0]
    assert found[0].discordant == (0, 0)


def test_samples_broken_from_several_seeds_count_once(spiking):
    """A recipe's white-box total is a union over members and seeds, never a sum."""
    drive = spiking("drive")
    card = Card(encoder=EncoderCard(kind="drive", mean=0, std=1), steps=STEPS, readout="count")
    data = dataset(drive)
    twice = replace(MANY, members=MANY.members[:3])
    record = evaluate(drive, data, Request([twice], {"eps": ["0.1"]}, seeds=3), card=card)
    robust = record.robust["eps"]["0.1"]
    members = [rate for rate in robust.by_attack.values() if rate.asked is not None]
    assert robust.white_box == record.clean.correct - robust.correct
    assert sum(int(rate.success.correct) for rate in members) > robust.white_box


@dataclass(frozen=True)
class Patterns:
    """The worst of 32 fixed patterns: the same for a sample from every seed and in every batch."""

    access: str
    name: str
    kind: str = "eps"
    control: bool = False

    def __call__(self, classifier, x, labels, budget, generator):
        found = x.clone()
        for seed in range(32):
            pattern = torch.rand(x.shape[1:], generator=torch.Generator().manual_seed(seed)).round()
            moved = (x + budget.epsilon * (2 * pattern - 1)).clamp(0, 1)
            fell = classifier.predict(moved) != labels
            found[fell] = moved[fell]
        return found


def test_what_only_a_black_box_attack_breaks_is_counted_apart(spiking):
    drive = spiking("drive")
    card = Card(encoder=EncoderCard(kind="drive", mean=0, std=1), steps=STEPS, readout="count")
    blind = Member(Patterns("score", "blind"))
    for first, alone in ((Still(), True), (Patterns("white-box", "seeing"), False)):
        recipe = replace(MANY, members=(Member(first), blind))
        record = evaluate(
            drive, dataset(drive), Request([recipe], {"eps": ["0.15"]}, seeds=2), card=card
        )
        rate = record.robust["eps"]["0.15"].by_attack["blind"]
        assert rate.beyond == rate.success.correct
        assert (rate.beyond > 3) is alone
        assert any("blind breaks" in flag for flag in flags(record)) is alone
