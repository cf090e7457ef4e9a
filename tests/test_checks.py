from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from neurorobust.attacks import ATTACKS
from neurorobust.checks import flags
from neurorobust.datasets.base import Dataset
from neurorobust.evaluation import evaluate
from neurorobust.provenance import now, provenance
from neurorobust.records import (
    AttackRate,
    Card,
    Confirmation,
    EncoderCard,
    Record,
    RobustRate,
    rate,
)
from neurorobust.surrogates import Surrogate

TOTAL = 100


def attack(left: int, zero: float | None = 0.0, failed: int = 0, projected: int = 0) -> AttackRate:
    """An attack that leaves so many of 100 (all right when clean)."""
    standing = rate(left, TOTAL)
    return AttackRate(
        correct=left, total=TOTAL, interval=standing.interval, success=rate(TOTAL - left, TOTAL),
        zero_gradient=zero, seconds=1.0, failed=failed, projected=projected,
    )  # fmt: skip


def robust(**by_attack: AttackRate) -> RobustRate:
    named = {name.replace("_", "-"): value for name, value in by_attack.items()}
    worst = rate(min(value.correct for value in named.values()), TOTAL)
    return RobustRate(correct=worst.correct, total=TOTAL, interval=worst.interval, by_attack=named)


SETTINGS = {
    "pgd-linf": {"white_box": True, "domain": "images", "draws": 10},
    "random": {"white_box": False, "domain": "images"},
    "spike-topk": {"white_box": True, "domain": "spikes"},
}
SOUND = {
    "0.1": robust(pgd_linf=attack(60), random=attack(98, None)),
    "0.2": robust(pgd_linf=attack(10), random=attack(95, None)),
}


def record(rates: dict[str, RobustRate] = SOUND, kind: str = "drive", **changes: object) -> Record:
    names = {name for value in rates.values() for name in value.by_attack}
    fields = {
        "model": "toy", "model_sha256": "", "backend": "engine", "target": "", "dataset": "toy",
        "card": Card(encoder=EncoderCard(kind=kind), steps=8), "seed": 0, "clean": rate(100, TOTAL),
        "attacks": {name: SETTINGS[name] for name in names}, "robust": rates,
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
    settings = {"pgd-linf": {**SETTINGS["pgd-linf"], "draws": 1}}
    found = flags(record({"0.1": robust(pgd_linf=attack(60))}, "poisson", attacks=settings))
    assert found[0].startswith("pgd-linf: 1 draws of the random encoder a gradient, need 10")


def test_flips_are_checked_too():
    rates = {"9": robust(spike_topk=attack(50)), "10": robust(spike_topk=attack(51))}
    found = flags(record({}, robust_flips=rates, attacks={"spike-topk": SETTINGS["spike-topk"]}))
    assert found[0].startswith("flips 9 to 10: accuracy rises from 50 to 51")


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
    x = torch.rand(64, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    data = Dataset("toy", "test", x, classifier.predict(x), 4)
    seeing = replace(ATTACKS["pgd-linf"], steps=10)
    blind = replace(seeing, surrogate=Surrogate("triangle", 1e-6))
    found = {}
    for name, chosen in (("seeing", seeing), ("blind", blind)):
        found[name] = evaluate(
            classifier, data, card=Card(encoder=EncoderCard(kind="drive"), steps=12),
            epsilons=["0.1"], attacks=[chosen, "random"],
        )  # fmt: skip
    assert found["blind"].robust["0.1"].correct > found["seeing"].robust["0.1"].correct
    assert any("100% of the samples have no gradient" in flag for flag in flags(found["blind"]))
    assert flags(found["seeing"]) == []
