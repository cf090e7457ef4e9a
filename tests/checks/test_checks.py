from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from neurorobust.attacks import ATTACKS
from neurorobust.attacks.modes import surrogate
from neurorobust.budgets import parse
from neurorobust.checks import flags, looked_for
from neurorobust.datasets.base import Dataset
from neurorobust.evaluation import Request, evaluate
from neurorobust.provenance import now, provenance
from neurorobust.records import (
    AttackRate,
    Card,
    Cell,
    Comparison,
    Confirmation,
    EncoderCard,
    Probe,
    Recipe,
    Record,
    RobustRate,
    rate,
)

TOTAL = 100


def _card(kind: Any, steps: int) -> Card:
    encoder = EncoderCard(kind=kind, mean=0.0, std=1.0)
    return Card(encoder=encoder, steps=steps, readout="count")


def attack(left: int, zero: float | None = 0.0, failed: int = 0, projected: int = 0) -> AttackRate:
    """An attack that leaves so many of 100 (all right when clean)."""
    standing = rate(left, TOTAL)
    return AttackRate(
        correct=left, total=TOTAL, interval=standing.interval, success=rate(TOTAL - left, TOTAL),
        zero_gradient=zero, seconds=1.0, failed=failed, projected=projected,
    )  # fmt: skip


def placed(**kinds: dict[str, RobustRate]) -> dict[str, dict[str, RobustRate]]:
    """Rates at budgets as typed, by kind: as a record keeps them."""
    return {
        kind: {text: RobustRate(**dict(rate) | at(kind, text)) for text, rate in rates.items()}
        for kind, rates in kinds.items()
        if rates
    }


def at(kind: str, text: str) -> dict[str, Any]:
    return {"kind": kind, "text": text, "numbers": parse(kind, text).numbers}


def robust(**by_attack: AttackRate) -> RobustRate:
    """The attacks at one budget, beside a control that breaks nothing where none is named."""
    named = {name.replace("_", "-"): value for name, value in by_attack.items()}
    named.setdefault("random", attack(TOTAL, None))
    worst = rate(min(value.correct for value in named.values()), TOTAL)
    return RobustRate(
        **at("eps", "0"), correct=worst.correct, total=TOTAL, interval=worst.interval,
        by_attack=named,
    )  # fmt: skip


SETTINGS = {
    "pgd-linf": {"access": "white-box", "control": False, "domain": "images", "draws": 10},
    "random": {"access": "none", "control": True, "domain": "images"},
    "spike-topk": {"access": "white-box", "control": False, "domain": "spikes"},
}
SOUND = {
    "0.1": robust(pgd_linf=attack(60), random=attack(98, None)),
    "0.2": robust(pgd_linf=attack(10), random=attack(95, None)),
}


def record(rates: dict[str, RobustRate] = SOUND, kind: str = "drive", **changes: object) -> Record:
    names = {name for value in rates.values() for name in value.by_attack}
    fields = {
        "model": "toy", "model_sha256": "", "backend": "engine", "target": "", "dataset": "toy",
        "card": _card(kind, 8), "seed": 0, "clean": rate(100, TOTAL),
        "attacks": {name: SETTINGS[name] for name in names}, "robust": placed(eps=rates),
        "provenance": provenance("", now(), 0.0),
    }  # fmt: skip
    return Record(**fields | changes)


def test_a_sound_record_has_no_flags():
    assert flags(record()) == []
    assert flags(record({})) == []


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        (
            {"0.1": robust(pgd_linf=attack(60, zero=0.06))},
            "pgd-linf: 6% of the samples have no gradient at all at the start point (limit 5%)",
        ),
        (
            {"0.1": robust(pgd_linf=attack(97), random=attack(97, None))},
            "eps 0.1: random breaks 3 samples, pgd-linf 3: the white-box attack is no stronger",
        ),
        (
            {"0.1": robust(pgd_linf=attack(100), random=attack(99, None))},
            "eps 0.1: random breaks 1 samples, pgd-linf 0",
        ),
        (
            {"0.2": robust(pgd_linf=attack(61)), "8/255": robust(pgd_linf=attack(60))},
            "eps 8/255 to 0.2: accuracy rises from 60 to 61 of 100 (worst case)",
        ),
        (
            {"0.5": robust(pgd_linf=attack(11))},
            "eps 0.5: 11 of 100 still right where every image can become plain grey (limit 10%)",
        ),
        (
            {"0.1": robust(pgd_linf=attack(60, failed=2))},
            "eps 0.1: pgd-linf failed on 2 of 100 samples",
        ),
        (
            {"0.1": robust(pgd_linf=attack(60, projected=4))},
            "eps 0.1: pgd-linf left the budget on 4 of 100 samples",
        ),
        (
            {"0.1": robust(random=attack(60, None))},
            "no white-box attack was run: controls alone say little",
        ),
    ],
)
def test_red_flags(rates: dict[str, RobustRate], message: str):
    found = flags(record(rates))
    assert any(flag.startswith(message) for flag in found), found


@pytest.mark.parametrize(
    "rates",
    [
        {"0.1": robust(pgd_linf=attack(60, zero=0.05))},
        {"0.1": robust(pgd_linf=attack(100), random=attack(100, None))},
        {"0.1": robust(pgd_linf=attack(99), random=attack(99, None))},
        {"0.4": robust(pgd_linf=attack(0), random=attack(0, None))},
        {"0.1": robust(pgd_linf=attack(60)), "0.2": robust(pgd_linf=attack(60))},
        {"0.5": robust(pgd_linf=attack(10))},
    ],
)
def test_borders_are_not_flagged(rates: dict[str, RobustRate]):
    assert flags(record(rates)) == []


def test_random_encoders_must_be_averaged_and_may_vary_a_little():
    rises = {"0.1": robust(pgd_linf=attack(60)), "0.2": robust(pgd_linf=attack(62))}
    assert flags(record(rises, "poisson")) == []
    assert len(flags(record(rises, "drive"))) == 2  # worst case and pgd-linf
    settings = {**SETTINGS, "pgd-linf": {**SETTINGS["pgd-linf"], "draws": 1}}
    found = flags(record({"0.1": robust(pgd_linf=attack(60))}, "poisson", attacks=settings))
    assert found[0].startswith("pgd-linf: 1 draws of the random encoder a gradient, need 10")


def member(
    broken: int, asked: int, zero: float | None = 0.0, beyond: int | None = None
) -> AttackRate:
    """A recipe's member."""
    standing = rate(TOTAL - broken, TOTAL)
    return AttackRate(
        correct=TOTAL - broken, total=TOTAL, interval=standing.interval, asked=asked,
        success=rate(broken, asked), zero_gradient=zero, seconds=1.0, beyond=beyond,
    )  # fmt: skip


RECIPE = Recipe(name="toy-1", members=(), strongest="bptr", chosen_on="others")
MEMBERS = {
    **SETTINGS,
    **{f"m{i}": {"access": "white-box", "control": False, "domain": "images"} for i in range(5)},
    "square": {"access": "score", "control": False, "domain": "images"},
}


def chained(carried: int = 0, left: int = 50, **by_attack: AttackRate) -> RobustRate:
    white = sum(int(rate.success.correct) for name, rate in by_attack.items() if name[0] == "m")
    by_attack.setdefault("random", attack(TOTAL, None))
    return RobustRate(
        **at("eps", "0"), correct=left, total=TOTAL, interval=rate(left, TOTAL).interval,
        by_attack=by_attack, carried=carried, white_box=white + carried,
    )  # fmt: skip


def with_recipe(*rates: RobustRate, **changes: object) -> Record:
    named = {f"0.{1 + place}": value for place, value in enumerate(rates)}
    return record({}, robust=placed(eps=named), attacks=MEMBERS, **{"recipe": RECIPE, **changes})


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ((chained(m0=member(45, 100), square=member(9, 55, None, 3)),),
         "eps 0.1: square breaks 3 samples without gradients that no white-box attack broke"),
        ((chained(m0=member(1, 100), m1=member(2, 99), random=attack(97, None)),),
         "eps 0.1: random breaks 3 samples, toy-1 3: the white-box attack is no stronger"),
        ((chained(m0=member(45, 100), m1=member(0, 9, 0.6), m2=member(0, 9, 0.0)),),
         "1 of 3 attacks of the recipe have no gradient at all on more than 50% of the samples"),
        ((chained(left=40, m0=member(60, 100)), chained(left=41, carried=50, m0=member(9, 50))),
         "eps 0.1 to 0.2: accuracy rises from 40 to 41 of 100 (worst case)"),
    ],
)  # fmt: skip
def test_red_flags_of_recipes(rates: tuple[RobustRate, ...], message: str):
    found = flags(with_recipe(*rates))
    assert len(found) == 1, found
    assert found[0].startswith(message)


def test_sound_recipes_have_no_flags():
    one = chained(
        m0=member(45, 100), m1=member(0, 55, 0.6), m2=member(0, 55), m3=member(0, 55),
        m4=member(0, 55), m5=member(0, 55), square=member(9, 55, None, 2), random=attack(99, None),
    )  # fmt: skip
    # the next budget: nothing new is found, but what is carried over is more than chance
    two = chained(left=40, carried=60, m0=member(0, 40), random=attack(90, None))
    assert flags(with_recipe(one, two)) == []
    lost = RECIPE.model_copy(update={"chosen_on": None})
    found = flags(with_recipe(one, recipe=lost))
    assert found == [
        "toy-1: no samples but the evaluated ones, so the mode of its later attacks (bptr) is not "
        "known to be the strongest"
    ]


@pytest.mark.parametrize(("broken", "raised"), [(43, True), (42, False), (40, False)])
def test_black_box_must_not_beat_white_box(broken: int, raised: bool):
    square = attack(100 - broken, None)
    found = record({"0.1": robust(pgd_linf=attack(60))})
    both = {"0.1": chained(left=57, **{"pgd-linf": attack(60), "square": square})}
    found = found.model_copy(update={"robust": placed(eps=both), "attacks": MEMBERS})
    said = f"eps 0.1: square breaks {broken} samples without gradients, pgd-linf 40 with them"
    assert [flag.startswith(said) for flag in flags(found)] == ([True] if raised else [])
    assert "black-box attacks that beat the gradients" in looked_for(found)


def probed(what: Any, broken: tuple[int, int], differ: int) -> Record:
    probe = Probe(
        what=what, attack="pgd-linf", kind="eps", budget="0.1", settings=("a", "b"),
        broken=broken, differ=differ, total=32,
    )  # fmt: skip
    return record(probes=(probe,))


@pytest.mark.parametrize(
    ("what", "broken", "differ", "raised"),
    [
        ("width", (2, 10), 8, "surrogate width: 2 with a, 10 with b broken"),
        ("width", (10, 2), 8, "surrogate width: 10 with a, 2 with b broken"),
        ("width", (2, 9), 7, None),
        ("scale", (9, 9), 2, "logit scale: 9 with a, 9 with b times the logits broken"),
        ("scale", (9, 9), 0, None),
        ("steps", (12, 9), 3, "steps: 12 with a, 9 with b steps broken"),
        ("steps", (11, 9), 4, None),
        ("steps", (3, 9), 6, None),
    ],
)
def test_what_success_may_not_depend_on(what, broken, differ: int, raised: str | None):
    found = flags(probed(what, broken, differ))
    assert [flag.startswith(raised or "") for flag in found] == ([] if raised is None else [True])


@pytest.mark.parametrize(
    ("kind", "unconfirmed", "raised"),
    [("drive", 1, True), ("drive", 0, False), ("poisson", 40, False), ("poisson", 41, True)],
)
def test_claims_must_hold(kind: str, unconfirmed: int, raised: bool):
    claims = attack(60).model_copy(update={"unconfirmed": unconfirmed})
    found = flags(record({"0.1": robust(pgd_linf=claims)}, kind))
    said = f"eps 0.1: pgd-linf claims {unconfirmed} successes that the re-run does not show"
    assert [flag.startswith(said) for flag in found] == ([True] if raised else [])


@pytest.mark.parametrize(
    ("budget", "unchanged", "may", "raised"),
    [
        ("0.1", 21, False, True),
        ("0.1", 20, False, False),
        ("0.1", 100, True, False),
        ("0", 100, False, False),
        ("l0:0.5", 100, False, False),
        ("l2:0.5", 21, False, True),
    ],
)
def test_an_attack_must_propose_something_else_than_the_sample(budget, unchanged, may, raised):
    idle = attack(60).model_copy(update={"unchanged": unchanged})
    rates = {budget: robust(pgd_linf=idle, random=attack(98, None))}
    settings = {**SETTINGS, "pgd-linf": {**SETTINGS["pgd-linf"], "may_return_x": may}}
    found = flags(record(rates, attacks=settings))
    said = f"eps {budget}: pgd-linf proposes the sample itself for {unchanged} of 100 (limit 20%)"
    assert [flag.startswith(said) for flag in found] == ([True] if raised else [])


def test_a_member_is_asked_to_change_only_what_it_was_given():
    idle = member(0, 10).model_copy(update={"unchanged": 3})
    found = flags(with_recipe(chained(m0=member(90, 100), m1=idle)))
    assert found == [
        "eps 0.1: m1 proposes the sample itself for 3 of 10 (limit 20%): the attack does not work "
        "there"
    ]


def test_budgets_are_compared_only_where_one_lies_in_the_other():
    rates = {"l2:1": robust(pgd_linf=attack(60)), "0.2": robust(pgd_linf=attack(50))}
    assert flags(record(rates)) == []
    moved = {
        "reach=1": robust(pgd_linf=attack(50)),
        "reach=2+spikes=1": robust(pgd_linf=attack(60)),
    }
    assert flags(record({}, robust=placed(shifts=moved), attacks=SETTINGS)) == []
    moved["reach=2"] = robust(pgd_linf=attack(51))
    found = flags(record({}, robust=placed(shifts=moved), attacks=SETTINGS))
    assert found
    assert all(flag.startswith("shifts reach=1 to reach=2: accuracy rises") for flag in found)


def counted(right: float, total: int, classes: int = 10) -> Record:
    """A network that gets so many right, attacked with little success."""
    return record(clean=rate(right, total), classes=classes)


@pytest.mark.parametrize(
    ("right", "total", "classes", "raised"),
    [
        (2, 10, 10, True),  # the interval begins at 5.7 %
        (1, 8, 10, True),
        (15, 100, 10, True),
        (16, 100, 10, False),  # the interval begins at 10.1 %
        (59, 100, 2, True),
        (60, 100, 2, False),  # at 50.2 %
    ],
)
def test_a_network_near_chance_is_flagged(right: int, total: int, classes: int, raised: bool):
    found = counted(right, total, classes)
    said = [flag for flag in flags(found) if "not shown to be better than chance" in flag]
    assert len(said) == raised
    assert all(f"clean: {right} of {total} right" in flag for flag in said)
    assert "a network no better than chance" in looked_for(found)


def test_chance_is_flagged_up_to_the_very_border_of_the_interval():
    at = rate(30, 100).model_copy(update={"interval": (0.25, 0.4)})
    above = at.model_copy(update={"interval": (0.2501, 0.4)})
    known = [record(clean=one, classes=4) for one in (at, above)]
    assert ["guessing gives 25.0% (4 classes)" in " ".join(flags(one)) for one in known] == [
        True, False,
    ]  # fmt: skip
    assert "a network no better than chance" not in looked_for(record())  # classes unknown


@pytest.mark.parametrize(("right", "raised"), [(29, True), (30, False), (0, True)])
def test_success_rates_over_fewer_than_30_samples_are_flagged(right: int, raised: bool):
    found = counted(right, 30)
    said = f"clean: {right} samples are right, need 30: every success rate counts these alone"
    assert sum(flag.startswith(said) for flag in flags(found)) == raised
    assert "success rates over a handful of samples" in looked_for(found)
    assert not any("need 30" in flag for flag in flags(record({}, clean=rate(right, 30))))


@pytest.mark.parametrize(("high", "raised"), [(0.6, False), (0.601, True)])
def test_intervals_wider_than_20_points_are_flagged_once(high: float, raised: bool):
    rates = {
        typed: one.model_copy(update={"interval": (0.4, high)}) for typed, one in SOUND.items()
    }
    found = record(rates)
    said = [
        "95% intervals: 2 of 3 wider than 20 points, the widest 20.1 (eps 0.1): too few samples, "
        "evaluate more"
    ]
    assert flags(found) == (said if raised else [])
    assert "intervals too wide to tell anything apart" in looked_for(found)


@pytest.mark.parametrize("controlled", [True, False])
def test_attacks_without_a_control_are_flagged(controlled: bool):
    rates = {"0.1": robust(pgd_linf=attack(60)), "0.2": robust(pgd_linf=attack(50))}
    if not controlled:
        del rates["0.2"].by_attack["random"]
    found = record(rates)
    said = "eps 0.2: no control was run: nothing shows that the attacks are stronger than blind"
    assert [flag.startswith(said) for flag in flags(found)] == ([] if controlled else [True])
    assert "attacks without a control" in looked_for(found)


def test_flips_are_checked_too():
    rates = {"9": robust(spike_topk=attack(50)), "10": robust(spike_topk=attack(51))}
    found = flags(record({}, robust=placed(flips=rates), attacks=SETTINGS))
    assert found[0].startswith("flips 9 to 10: accuracy rises from 50 to 51")


def compared(carried: int, direct: int, total: int = 90) -> Comparison:
    """A 2x2 whose column of the deployed network is given."""
    broken = {"float": carried, "deployed": direct}
    return Comparison(
        epsilon="0.1", attack="pgd-linf", clean_float=rate(95, TOTAL), mcnemar_p=1.0,
        clean_deployed=rate(95, TOTAL), flips=0, discordant=(0, 0),
        cells=tuple(
            Cell(crafted=crafted, scored=scored, success=rate(broken[crafted], total))
            for crafted in broken for scored in broken
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("carried", "direct", "raised"),
    [(41, 40, True), (40, 40, True), (1, 1, True), (39, 40, False), (0, 0, False), (90, 90, False)],
)
def test_transfer_must_not_beat_the_direct_attack(carried: int, direct: int, raised: bool):
    found = record(comparison=(compared(carried, direct),))
    said = (
        f"pgd-linf at 0.1: crafted on float it breaks {carried} of 90 on the deployed network, "
        f"crafted there {direct}: transfer beats white-box, the direct attack is too weak"
    )
    assert flags(found) == ([said] if raised else [])
    assert "transfer that beats the direct attack" in looked_for(found)
    assert "transfer that beats the direct attack" not in looked_for(record())


def test_controls_are_those_that_say_so():
    """An attack without gradients is no control, whatever its name."""
    settings = {**SETTINGS, "random": {"access": "none", "control": False, "domain": "images"}}
    rates = {"0.1": robust(pgd_linf=attack(97), random=attack(97, None))}
    (found,) = flags(record(rates, attacks=settings))
    assert found.startswith("eps 0.1: no control was run")
    assert "controls as strong as attacks" not in looked_for(record(rates, attacks=settings))
    assert "controls as strong as attacks" in looked_for(record(rates))


def test_a_failed_confirmation_is_flagged():
    done = Confirmation(
        backend="lava", requested=4, replayed=4, identical=3, adversarial=4, first_difference="here"
    )
    assert flags(record(confirmed=done)) == [
        "confirm lava: 3 of 4 identical; first difference: here"
    ]


def test_a_planted_network_that_masks_its_gradients_is_flagged(spiking):
    """A surrogate so narrow that nothing passes: the attack finds little, the record says so."""
    classifier = spiking()
    x = torch.rand(128, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    data = Dataset("toy", "test", x, classifier.predict(x), 4)
    seeing = replace(ATTACKS["pgd-linf"], steps=10)
    blind = replace(seeing, mode=surrogate("triangle", 1e-6))
    found = {}
    for name, chosen in (("seeing", seeing), ("blind", blind)):
        found[name] = evaluate(
            classifier, data, Request([chosen, "random"], {"eps": ["0.1"]}), card=_card("drive", 12)
        )
    assert (
        found["blind"].robust["eps"]["0.1"].correct > found["seeing"].robust["eps"]["0.1"].correct
    )
    assert any("100% of the samples have no gradient" in flag for flag in flags(found["blind"]))
    assert flags(found["seeing"]) == []
