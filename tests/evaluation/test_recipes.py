"""Recipes: survivors go on, successes carry over, the strongest mode is found elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from neurorobust.attacks import ATTACKS
from neurorobust.attacks.base import Proposal
from neurorobust.attacks.events.gradient_flips import SpikeRandom, SpikeTopK
from neurorobust.attacks.images.pgd import Pgd
from neurorobust.attacks.modes import surrogate
from neurorobust.attacks.recipe import EVERY, STRONGEST, Member, Recipe, first_taking
from neurorobust.attacks.recipes import RECIPES, STANDARD_1, STANDARD_2, find_recipe
from neurorobust.backends.engine import EngineBackend
from neurorobust.budgets import KINDS, NORMS, ImageBudget, inside, parse
from neurorobust.checks import flags
from neurorobust.classifier import Classifier
from neurorobust.datasets.base import Dataset
from neurorobust.encoders import DriveEncoder
from neurorobust.errors import BadInput
from neurorobust.evaluation import Request, evaluate, held_out, load_samples
from neurorobust.evaluation.jobs import plan
from neurorobust.evaluation.minimum import curve, median
from neurorobust.evaluation.mode_choice import broken_by_mode, largest
from neurorobust.evaluation.probes import probes
from neurorobust.evaluation.targeted import aim, targets
from neurorobust.netx.model import DenseLayer, InputLayer, NetxModel, Neuron
from neurorobust.readouts import Readout
from neurorobust.records import Card, EncoderCard, Record
from neurorobust.surrogates import DEFAULT

WIDTHS = (surrogate("fast-sigmoid", 0.25), surrogate("fast-sigmoid", 1.0))
TOY = Recipe(
    name="toy-1",
    members=(
        Member(ATTACKS["random"]),
        Member(Pgd("weak", steps=1, reach=0.5), "fast-sigmoid-0.25"),
        Member(Pgd("pgd", steps=6), EVERY),
        Member(Pgd("long", steps=8), STRONGEST),
        Member(Pgd("many", steps=2), "bptr", classes=9),
        Member(SpikeRandom()),
        Member(SpikeTopK(rounds=3), "bptr"),
    ),
    modes=("fast-sigmoid-0.25", "straight-through-1"),
    choosers=(Pgd(steps=4),),
    probes=(Pgd(steps=4),),
    targeted=(Pgd(steps=10),),
    widths=WIDTHS,
)
SAMPLES = 70


def card(kind: str = "drive") -> Card:
    return Card(encoder=EncoderCard(kind=kind, mean=0.0, std=1.0), steps=12, readout="count")


def dataset(classifier, samples: int = SAMPLES, wrong: int = 5, seed: int = 0) -> Dataset:
    x = torch.rand(samples, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    y = classifier.predict(x, torch.Generator().manual_seed(0))
    y[:wrong] = (y[:wrong] + 1) % 4
    return Dataset("toy", "test", x, y, 4)


@pytest.fixture(scope="module")
def drive(spiking):
    return spiking("drive")


@pytest.fixture(scope="module")
def finished(drive, tmp_path_factory):
    out = tmp_path_factory.mktemp("recipe") / "run"
    record = evaluate(
        drive,
        dataset(drive),
        Request(
            [TOY], {"eps": ["0.1", "0.04"], "flips": ["6"]}, seeds=2, minimum=True, targeted=True
        ),
        card=card(),
        validation=dataset(drive, 30, 0, seed=1),
        out=out,
    )
    return record, load_samples(out)


def broken(samples, name: str) -> np.ndarray:
    right = samples["predicted/clean"] == samples["label"]
    return right & (samples[f"predicted/{name}"] != samples["label"])


def test_survivors_only_go_on(finished):
    record, samples = finished
    right = samples["predicted/clean"] == samples["label"]
    for key in ("eps=0.04", "eps=0.1", "flips=6"):
        for suffix in ("", "@1"):
            standing = right & ~samples.get(f"carried/{key}/toy-1{suffix}", False)
            members = [
                name
                for name in record.recipe.members
                if name.startswith("spike") == (key == "flips=6")
            ]
            assert members
            for member in members:
                name = f"{key}/{member}{suffix}"
                assert np.array_equal(samples[f"asked/{name}"], standing)
                standing &= ~broken(samples, name)
            outcome = broken(samples, f"{key}/toy-1{suffix}")
            assert np.array_equal(right & ~standing, outcome)
    rates = record.robust["eps"]["0.04"].by_attack
    assert rates["weak+fast-sigmoid-0.25"].asked == record.clean.correct == SAMPLES - 5
    asked = [rate.asked for rate in rates.values() if rate.asked is not None]
    assert asked[-1] < asked[0]
    assert rates["random"].asked is None
    assert "many+bptr" not in record.attacks  # needs nine classes


def test_the_stored_adversarial_is_the_one_that_broke_it(finished, drive):
    record, samples = finished
    data = dataset(drive)
    for typed in ("0.04", "0.1"):
        name = f"eps={typed}/toy-1"
        adversarial = torch.from_numpy(samples[f"adversarial/{name}"])
        assert inside(adversarial, data.x, ImageBudget(float(typed))).all()
        assert drive.predict(adversarial).tolist() == samples[f"predicted/{name}"].tolist()
    assert broken(samples, "eps=0.1/toy-1").sum() > 0
    assert f"adversarial/eps=0.1/{record.recipe.members[0]}" not in samples


def test_successes_carry_over_to_larger_budgets(finished):
    record, samples = finished
    small, large = broken(samples, "eps=0.04/toy-1"), broken(samples, "eps=0.1/toy-1")
    assert small.sum() > 0
    assert np.array_equal(samples["carried/eps=0.1/toy-1"], small)
    assert (large >= small).all()
    both = samples["carried/eps=0.1/toy-1"] | samples["carried/eps=0.1/toy-1@1"]
    assert record.robust["eps"]["0.1"].carried == both.sum()
    assert record.robust["eps"]["0.04"].carried == 0
    same = samples["adversarial/eps=0.1/toy-1"] == samples["adversarial/eps=0.04/toy-1"]
    assert same[small].all()


def test_the_worst_case_is_over_seeds_and_each_seed_has_its_own(finished):
    record, samples = finished
    assert record.seeds == (0, 1)
    right = samples["predicted/clean"] == samples["label"]
    for typed, robust in record.robust["eps"].items():
        noise = [broken(samples, f"eps={typed}/random{s}") for s in ("", "@1")]
        chain = [broken(samples, f"eps={typed}/toy-1{s}") for s in ("", "@1")]
        left = [right & ~a & ~b for a, b in zip(noise, chain, strict=True)]
        assert [rate.correct for rate in robust.by_seed.values()] == [m.sum() for m in left]
        assert robust.correct == (left[0] & left[1]).sum()
        low, mean, high = robust.spread
        assert low * SAMPLES == min(m.sum() for m in left)
        assert low <= mean <= high
        assert robust.correct <= low * SAMPLES
    first = samples["adversarial/eps=0.1/random"]
    assert not np.array_equal(first, samples["adversarial/eps=0.1/random@1"])


def test_one_seed_has_no_spread_and_the_same_answers(finished, drive):
    record, _ = finished
    alone = evaluate(
        drive,
        dataset(drive),
        Request([TOY], {"eps": ["0.1", "0.04"]}),
        card=card(),
        validation=dataset(drive, 30, 0, seed=1),
    )
    assert alone.robust["eps"]["0.1"].spread is None
    assert alone.seeds == ()
    for typed, robust in record.robust["eps"].items():
        assert robust.by_seed["0"].correct == alone.robust["eps"][typed].correct


def test_the_strongest_mode_is_chosen_on_other_samples(finished, drive):
    record, _ = finished
    chosen = record.recipe
    assert chosen.strongest in TOY.modes
    assert chosen.chosen_on == "the last 30 samples of toy (test)"
    counts = {mode: rate.correct for mode, rate in chosen.chosen_by.items()}
    assert counts[chosen.strongest] == max(counts.values())
    assert f"long+{chosen.strongest}" in chosen.members
    without = evaluate(
        drive, dataset(drive, 20), Request([TOY], {"eps": ["0.1"]}), card=card()
    ).recipe
    assert (without.strongest, without.chosen_on) == (TOY.modes[0], None)


def test_held_out_samples_are_never_evaluated():
    x = torch.arange(200.0).view(200, 1, 1, 1) / 200
    whole = Dataset("toy", "test", x, torch.arange(200), 200)
    train = replace(whole, split="train", y=torch.arange(200) + 1000)
    assert held_out(whole, 136).y.tolist() == list(range(136, 200))
    assert held_out(whole, 137) is None
    assert held_out(whole, 137, lambda: train).y.tolist() == list(range(1136, 1200))
    assert held_out(replace(whole, split="all"), 137, lambda: train) is None


def test_minimum_budgets_break_and_smaller_ones_were_withstood(finished):
    record, samples = finished
    values = samples["minimum/eps"]
    right = samples["predicted/clean"] == samples["label"]
    assert (values[~right] == 0).all()
    fell = np.isfinite(values)
    any_seed = np.any([broken(samples, f"eps=0.1/toy-1{s}") for s in ("", "@1")], axis=0)
    assert np.array_equal(fell[right], any_seed[right])
    early = np.any([broken(samples, f"eps=0.04/toy-1{s}") for s in ("", "@1")], axis=0)
    assert (values[early] <= 0.04).all()
    assert (values[any_seed & ~early] > 0.04).all()
    found = record.minimum["eps"]
    assert (found.total, found.broken) == (right.sum(), fell[right].sum())
    assert found.median == median(values[right])
    assert found.steps[-1][1] == found.total - found.broken
    budgets = [budget for budget, _ in found.steps]
    assert budgets == sorted(budgets)
    flips = samples["minimum/flips"]
    assert (flips[np.isfinite(flips)] % 1 == 0).all()
    assert record.minimum["flips"].largest == 6


def test_medians_count_failures():
    assert median(np.array([0.1, 0.3, np.inf])) == 0.3
    assert median(np.array([0.1, np.inf, np.inf])) is None
    assert median(np.array([0.1, 0.3])) == 0.3
    assert median(np.zeros(0)) is None
    assert curve(np.array([0.2, 0.1, np.inf, 0.2])) == [(0.1, 3), (0.2, 1)]


def test_minimum_needs_one_number(drive):
    with pytest.raises(BadInput, match="minimum: the budgets of eps differ in more than their"):
        evaluate(
            drive,
            dataset(drive, 5),
            Request(["random"], {"eps": ["0.1", "l2:1"]}, minimum=True),
            card=card(),
        )


def test_targets_are_wrong_classes_and_reaching_them_is_scored(finished, drive):
    record, samples = finished
    goal, label = samples["target/class"], samples["label"]
    assert (goal != label).all()
    assert set(goal.tolist()) == {0, 1, 2, 3}
    right = samples["predicted/clean"] == label
    for row in record.targeted:
        for attack, rate in row.by_attack.items():
            reached = samples[f"targeted/{row.kind}={row.budget}/{attack}"]
            assert (rate.correct, rate.total) == ((right & reached).sum(), right.sum())
    rates = {row.budget: row.by_attack["pgd-linf"].correct for row in record.targeted}
    assert 0 < rates["0.1"] < record.clean.correct - record.robust["eps"]["0.1"].correct
    labels = torch.arange(1000) % 4
    assert (targets(labels, 4, torch.Generator().manual_seed(0)) != labels).all()
    x = dataset(drive).x[:9]
    two = aim(drive, 2).logits(x)
    whole = drive.logits(x)
    assert two[:, 1].tolist() == whole[:, 2].tolist()
    assert two[:, 0].tolist() == whole[:, [0, 1, 3]].amax(1).tolist()


def test_random_encoders_keep_the_drawn_spikes_of_the_last_proposal(spiking, tmp_path):
    from neurorobust.evaluation.query import unpack

    classifier = spiking("poisson")
    evaluate(
        classifier,
        dataset(classifier),
        Request([replace(TOY, members=TOY.members[:3])], {"eps": ["0.05", "0.1"]}),
        card=card("poisson"),
        out=tmp_path,
    )
    samples = load_samples(tmp_path)
    shape = tuple(samples["drawn_shape"].tolist())
    for typed in ("0.05", "0.1"):
        drawn = unpack(samples[f"drawn/eps={typed}/toy-1"], shape)
        labels = classifier.readout.labels(classifier.backend.run(drawn))
        assert labels.tolist() == samples[f"predicted/eps={typed}/toy-1"].tolist()
    assert not np.array_equal(samples["drawn/eps=0.1/toy-1"], samples["drawn/eps=0.05/toy-1"])


# --- the released one


def test_standard_is_the_latest_version():
    assert find_recipe("standard") is find_recipe("standard-2") is STANDARD_2
    assert find_recipe("standard-1") is STANDARD_1
    assert find_recipe("pgd-linf") is None
    assert list(RECIPES) == ["standard-1", "standard-2"]


def test_standard_has_what_its_version_says():
    ready = STANDARD_1.ready("rga")
    labels = {kind: [m.label for m in ready.of(kind)] for kind in ("eps", "flips", "shifts")}
    images = ["random", "sa-pgd+assg-0.425", "sa-pgd+assg-0.35", "sa-pgd+assg-0.465"]
    images += [f"apgd-ce+{mode}" for mode in STANDARD_1.modes]
    assert labels["eps"] == [*images, "apgd-t+rga", "fab-t+rga", "square"]
    assert len(STANDARD_1.modes) == 12
    attacks = {member.label: member.attack for member in ready.members}
    assert attacks["sa-pgd+assg-0.425"].steps == attacks["apgd-ce+pdsg"].steps == 100
    assert attacks["apgd-t+rga"].mode.name == "rga"
    assert attacks["square"].queries == 5000
    for attack in attacks.values():
        assert getattr(attack, "draws", 10) == 10
    assert {"sda+fast-sigmoid-0.25", "g2s+fast-sigmoid-0.25", "sparse-search", "spike-random"} <= (
        set(labels["flips"])
    )
    assert labels["shifts"][0] == "random-jitter"
    assert "retiming+fast-sigmoid-0.25" in labels["shifts"]


def test_standard_2_ends_with_a_local_search():
    followed, other = (STANDARD_2.fitting(10, able).ready("rga") for able in (True, False))
    ready = STANDARD_2.ready("rga")
    labels = [one.label for one in other.of("eps")]
    assert [one.label for one in followed.of("eps")] == [*labels[:-3], "pixel-annealing"]
    asked = {
        norm: [one.label for one in followed.of("eps") if one.takes(ImageBudget(0.1, norm))]
        for norm in ("linf", "l2")
    }
    assert asked["linf"][-2:] == ["apgd-t+rga", "pixel-annealing"]
    assert asked["l2"][-2:] == ["apgd-t+rga", "square"]
    assert labels[:3] == ["random", "sa-pgd+assg-0.425", "sa-pgd+assg-0.35"]
    assert "apgd-t+rga" in labels
    assert labels[-3:] == [
        f"corner-search+{mode}" for mode in ("fast-sigmoid-0.25", "sigmoid-1", "triangle-1")
    ]
    attacks = {one.label: one.attack for one in ready.members}
    last = attacks[labels[-1]]
    assert (last.restarts, last.queries, last.draws) == (10, 2000, 10)
    pixels, flips = attacks["pixel-annealing"], attacks["flip-annealing"]
    assert (pixels.lives, pixels.moves, flips.lives, flips.moves) == (60, 6_000, 300, 8_000)
    assert (pixels.effort, pixels.least) == (6_000_000_000, 1_000_000_000)
    assert (flips.effort, flips.least) == (12_000_000_000, 1_500_000_000)
    momentum = attacks["momentum-ce+fast-sigmoid-0.25"]
    assert (momentum.decay, momentum.restarts, momentum.reach, momentum.loss) == (0.75, 2, 4, "ce")
    assert attacks["momentum-margin+triangle-1"].loss == "margin"


def shortened(attack: Any) -> Any:
    """The same attack with a few steps and queries; nothing else changes."""
    few = {
        "steps": 3, "rounds": 2, "queries": 40, "targets": 2, "restarts": 1, "patience": 3,
        "places": 1, "lives": 2, "moves": 60,
    }  # fmt: skip
    kept = {name: few[name] for name in few if hasattr(attack, name)}
    return replace(attack, **kept) if kept else attack


def short(recipe: Recipe) -> Recipe:
    """All members of a released recipe, its choosers, probes and targets, each shortened."""
    return replace(
        recipe,
        members=tuple(replace(one, attack=shortened(one.attack)) for one in recipe.members),
        choosers=tuple(map(shortened, recipe.choosers)),
        probes=tuple(map(shortened, recipe.probes)),
        targeted=tuple(map(shortened, recipe.targeted)),
    )


def run_short(recipe: Recipe, kind: str, typed: str, **asked: Any) -> Record:
    x = torch.rand(8, 1, 6, 6, generator=torch.Generator().manual_seed(2))
    classifier = small()
    data = Dataset("toy", "test", x, classifier.predict(x), 4)
    return evaluate(
        classifier,
        data,
        Request([short(recipe)], {kind: [typed]}, **asked),
        card=card(),
        validation=replace(data, x=1 - x),
    )


def small() -> Classifier:
    """A random network on 6 x 6 pixels, which is enough for every attack: 36-20-4."""
    rng = np.random.default_rng(5)
    cuba = Neuron(*(np.array(value) for value in (1024, 256, 64)))
    out = Neuron(*(np.array(value) for value in (1024, 128, 64)))
    own = Neuron(np.array(4096), np.array(0), np.array(64))
    shape = (36, 1, 1)
    layers = (
        InputLayer(0, shape, own, weight=60.0, bias=4.0),
        DenseLayer(1, (20, 1, 1), cuba, 2 * rng.integers(-40, 50, (20, 36))),
        DenseLayer(2, (4, 1, 1), out, 2 * rng.integers(-40, 50, (4, 20))),
    )
    backend = EngineBackend(NetxModel(shape, layers, sha256="0" * 64))
    return Classifier(DriveEncoder(shape, 60.0, 4.0, 0.5, 0.5, 8), backend, Readout("count", 1.0))


BUDGETS = [
    ("eps", "0.1"), ("eps", "2/255"), ("eps", "l2:0.5"), ("eps", "l1:2"), ("eps", "l0:3"),
    ("flips", "4"), ("flips", "insert=3"), ("flips", "insert=2+delete=2"), ("flips", "4+channel=0"),
    ("flips", "4+rows=0:1+columns=0:1"), ("shifts", "reach=2"), ("shifts", "reach=2+spikes=4"),
    ("shifts", "reach=2+total=6"), ("patches", "2x1"),
]  # fmt: skip


@pytest.mark.parametrize("recipe", [STANDARD_1, STANDARD_2], ids=lambda recipe: recipe.name)
@pytest.mark.parametrize(("kind", "typed"), BUDGETS)
def test_every_released_recipe_runs_with_every_budget_that_it_takes(
    recipe: Recipe, kind: str, typed: str
):
    """Modes chosen, probes made and targets attacked by an attack of that norm and kind."""
    if not recipe.of(kind):
        with pytest.raises(BadInput, match=f"--{kind} {typed}: no attack on spikes was asked for"):
            run_short(recipe, kind, typed)
        return
    record = run_short(recipe, kind, typed, targeted=True)
    rates = record.robust[kind][typed].by_attack
    members = [name for name, rate in rates.items() if rate.asked is not None]
    assert members
    assert not any(name.endswith(STRONGEST) for name in members)
    assert any(record.is_control(name) for name in rates)
    assert (record.recipe.strongest is not None) == any("apgd-t" in name for name in members)
    probed = {probe.attack for probe in record.probes}
    expected = first_taking(recipe.probes, kind, parse(kind, typed))
    assert probed == ({expected.name} if expected is not None else set())
    aimed = first_taking(recipe.targeted, kind, parse(kind, typed))
    assert [list(row.by_attack) for row in record.targeted] == (
        [[aimed.name]] if aimed is not None else []
    )


def test_standard_takes_every_kind_of_budget_that_can_be_typed():
    for kind in KINDS:
        assert any(one.attack.control for one in STANDARD_2.of(kind))
        assert any(one.attack.access == "white-box" for one in STANDARD_2.of(kind))
    for typed in ("0.1", "l2:1", "l1:5", "l0:4"):
        budget = parse("eps", typed)
        takers = [one for one in STANDARD_2.of("eps") if one.takes(budget)]
        assert len([one for one in takers if one.attack.access == "white-box"]) >= 3


def test_labels_of_a_recipe_are_told_apart():
    for recipe, followed in product(RECIPES.values(), (True, False)):
        for mode in recipe.modes:
            labels = [one.label for one in recipe.fitting(10, followed).ready(mode).members]
            assert len(set(labels)) == len(labels)


def test_several_norms_choose_one_mode_together(drive):
    chooser = replace(TOY, choosers=(Pgd(steps=4), Pgd("l2", ("l2",), steps=4)))
    jobs = plan({"eps": ["0.1", "0.04"], "flips": ["3"]}, [chooser])
    undecided = [job for job in jobs if job.label == f"long+{STRONGEST}"]
    assert [job.typed for job in largest(undecided)] == ["0.1"]
    both = replace(TOY, members=(Member(Pgd("long", NORMS, steps=2), STRONGEST),))
    jobs = plan({"eps": ["0.1", "0.04", "l2:0.5"]}, [both])
    assert [job.typed for job in largest(jobs)] == ["0.1", "l2:0.5"]
    data = dataset(drive, 10, 0)
    counts = broken_by_mode(drive, chooser, data, jobs, 0)
    assert {asked for _, asked in counts.values()} == {2 * 3 * len(data)}
    with pytest.raises(BadInput, match=r"toy-1: no attack chooses a mode at eps=l2:0\.5"):
        broken_by_mode(drive, TOY, data, jobs, 0)


def test_recipes_are_refused_with_words(drive):
    data, settings = dataset(drive, 5), {"card": card()}
    with pytest.raises(
        BadInput, match=r"attack 'toy-1': needs a budget, give --eps 0.1 or --flips 10"
    ):
        evaluate(drive, data, Request([TOY]), **settings)
    with pytest.raises(BadInput, match="one recipe at a time, not toy-1 too"):
        evaluate(drive, data, Request([TOY, "standard"], {"eps": ["0.1"]}), **settings)
    short = replace(TOY, name="toy-2", members=TOY.members[:3])
    with pytest.raises(BadInput, match="eps 'l2:1': no attack of toy-2 takes that budget"):
        evaluate(drive, data, Request([short], {"eps": ["l2:1"]}), **settings)
    with pytest.raises(BadInput, match="seeds 0: below 1"):
        evaluate(drive, data, Request(seeds=0), **settings)


# --- claims


@dataclass(frozen=True)
class Boaster:
    """Does nothing and claims that everything is broken."""

    name, may_return_x = "boaster", True
    kind, access, control = "eps", "white-box", False

    def propose(self, classifier, x, labels, budget, generator) -> Proposal:
        return Proposal(x, torch.ones(len(x), dtype=torch.bool))

    def __call__(self, classifier, x, labels, budget, generator) -> torch.Tensor:
        return x


def test_claims_that_the_rerun_does_not_show_are_flagged(drive):
    record = evaluate(
        drive, dataset(drive), Request([Boaster(), "pgd-linf"], {"eps": ["0.1"]}), card=card()
    )
    rates = record.robust["eps"]["0.1"].by_attack
    assert rates["boaster"].unconfirmed == SAMPLES - 5
    assert rates["pgd-linf"].unconfirmed == 0
    said = f"eps 0.1: boaster claims {SAMPLES - 5} successes that the re-run does not show"
    assert sum(flag.startswith(said) for flag in flags(record)) == 1


@dataclass(frozen=True)
class Idle:
    """Proposes x for all samples but the first few."""

    moves: int
    may_return_x: bool = False
    name = "idle"
    kind, access, control = "eps", "white-box", False

    def __call__(self, classifier, x, labels, budget, generator) -> torch.Tensor:
        found = x.clone()
        found[: self.moves] = (x[: self.moves] + 1e-4).clamp(0, 1)
        return found


@pytest.mark.parametrize(
    ("moves", "may", "raised"), [(52, False, True), (53, False, False), (0, True, False)]
)
def test_who_proposes_the_sample_itself_is_flagged(drive, moves: int, may: bool, raised: bool):
    """Of those right when clean: the first five are wrong."""
    data = dataset(drive, 64)
    attacks = [Idle(moves, may), "pgd-linf"]
    record = evaluate(drive, data, Request([*attacks, "random"], {"eps": ["0.1"]}), card=card())
    rates = record.robust["eps"]["0.1"].by_attack
    assert (rates["idle"].unchanged, rates["idle"].success.total) == (64 - max(moves, 5), 59)
    assert rates["pgd-linf"].unchanged == 0
    said = "eps 0.1: idle proposes the sample itself for "
    assert any(said in flag for flag in flags(record)) is raised


class TwoFaced(EngineBackend):
    """Its gradients are of a network that names other classes than the one that answers."""

    def forward(self, inputs, backward=DEFAULT):
        made = super().forward(inputs, backward)
        return replace(made, spikes=made.spikes.roll(1, dims=1))


def test_an_attack_that_sees_another_network_than_the_one_that_answers_is_flagged(drive):
    liar = replace(drive, backend=TwoFaced(drive.backend.model))
    record = evaluate(
        liar, dataset(drive), Request(["pgd-linf", "sa-pgd"], {"eps": ["0.001"]}), card=card()
    )
    for name, rate in record.robust["eps"]["0.001"].by_attack.items():
        if name != "random":
            assert rate.unconfirmed > 0
            said = f"eps 0.001: {name} claims {rate.unconfirmed} successes that the re-run does not"
            assert any(flag.startswith(said) for flag in flags(record))


# --- probes


def test_probes_find_no_fault_with_a_sound_attack(drive):
    found = probes(drive, TOY, dataset(drive), plan({"eps": ["0.04", "0.1"]}, ["pgd-linf"]), 0)
    by_what = {probe.what: probe for probe in found}
    assert set(by_what) == {"width", "scale", "steps"}
    assert by_what["scale"].settings == ("1", "0.0001")
    assert (by_what["scale"].differ, by_what["scale"].total) == (0, 27)
    assert by_what["scale"].broken[0] > 0
    assert by_what["steps"].settings == ("1", "4")
    assert by_what["width"].settings == ("fast-sigmoid-0.25", "fast-sigmoid-1")


@dataclass(frozen=True)
class Naive:
    """One step on the cross-entropy of the logits as they come: it saturates."""

    steps: int = 4
    mode: object = WIDTHS[0]
    name = "naive"
    kind, access, control = "eps", "white-box", False

    def __call__(self, classifier, x, labels, budget, generator) -> torch.Tensor:
        point = x.clone().requires_grad_()
        with torch.enable_grad():
            logits = classifier.with_backward(self.mode.backward).logits(point, generator)
            loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, point)
        step = budget.epsilon * torch.where(gradient.abs() > 1e-3, gradient.sign(), 0)
        return (x + step).clamp(0, 1)


def test_probes_find_an_attack_that_depends_on_the_scale(drive):
    recipe = replace(TOY, probes=(Naive(),))
    found = probes(drive, recipe, dataset(drive), plan({"eps": ["0.1"]}, ["pgd-linf"]), 0)
    scale = next(probe for probe in found if probe.what == "scale")
    assert scale.differ > 0
