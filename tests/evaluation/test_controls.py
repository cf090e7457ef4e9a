"""Every attack stands beside blind noise of its own size, unless that is left out."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from neurorobust.attacks import ATTACKS
from neurorobust.attacks.controls import CONTROLS, ProjectedNoise, control_of
from neurorobust.budgets import KINDS, inside, parse
from neurorobust.checks import flags, looked_for
from neurorobust.datasets.base import Dataset
from neurorobust.evaluation import Request, evaluate
from neurorobust.evaluation.jobs import plan
from neurorobust.records import Card, EncoderCard

FAST = replace(ATTACKS["pgd-linf"], steps=3, draws=2)
CARD = Card(encoder=EncoderCard(kind="drive", mean=0.0, std=1.0), steps=12, readout="count")


def names(budgets: dict[str, list[str]], attacks: list[str], control: bool = True) -> list[str]:
    return [job.name for job in plan(budgets, attacks, control=control)]


def test_every_kind_of_budget_has_a_control_that_knows_nothing():
    assert set(CONTROLS) == set(KINDS)
    for kind, control in CONTROLS.items():
        assert control_of(kind) is control
        assert (control.kind, control.control, control.access) == (kind, True, "none")
        assert ATTACKS[control.name] == control


@pytest.mark.parametrize(
    ("kind", "typed", "attack", "control"),
    [
        ("eps", "0.1", "pgd-linf", "random"),
        ("eps", "l2:1", "pgd-l2", "random"),
        ("flips", "5", "sda", "spike-random"),
        ("shifts", "reach=2", "retiming", "random-jitter"),
        ("patches", "3x3", "patch-universal", "patch-noise"),
    ],
)
def test_a_control_of_the_same_kind_is_run_with_every_attack(
    kind: str, typed: str, attack: str, control: str
):
    budgets = {kind: [typed]}
    both = [f"{kind}={typed}/{control}", f"{kind}={typed}/{attack}"]
    assert names(budgets, [attack]) == both
    assert names(budgets, [attack], control=False) == both[1:]
    assert names(budgets, [attack, control]) == both[::-1]  # asked for: where it was asked
    assert names(budgets, [attack, control], control=False) == both[::-1]
    assert names(budgets, [control]) == both[:1]


def test_a_recipe_leaves_its_controls_out_where_none_are_wanted():
    budgets = {"eps": ["0.1"]}
    assert names(budgets, ["standard"])[0] == "eps=0.1/random"
    assert names(budgets, ["standard"])[1:] == names(budgets, ["standard"], control=False)


@pytest.mark.parametrize("control", [True, False])
def test_the_record_says_where_no_control_was_run(spiking, control: bool):
    drive = spiking("drive")
    x = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    data = Dataset("toy", "test", x, drive.predict(x), 4)
    record = evaluate(
        drive, data, Request([FAST], {"eps": ["0.1", "0.2"]}, control=control), card=CARD
    )
    said = [flag for flag in flags(record) if "no control was run" in flag]
    assert said == ([] if control else [
        "eps 0.1, 0.2: no control was run: nothing shows that the attacks are stronger than "
        "blind noise of the same size"
    ])  # fmt: skip
    assert "attacks without a control" in looked_for(record)
    assert record.classes == 4


def test_noise_of_a_kind_without_a_control_is_at_random_places_and_uses_the_budget():
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(6, 2, 8, 8, 10, generator=generator) < 0.2).to(torch.uint8)
    labels, budget = torch.zeros(6, dtype=torch.int64), parse("flips", "12")
    made = ProjectedNoise("flips")(None, x, labels, budget, generator)
    flips = (made != x).flatten(1)
    assert flips.sum(1).tolist() == [12] * 6
    places = flips.float().nonzero()[:, 1].float() / flips.shape[1]
    assert 0.4 < float(places.mean()) < 0.6
    assert inside(made, x, budget).all()
    image = torch.rand(4, 1, 6, 6, generator=generator)
    ball = parse("eps", "l0:5")
    moved = ProjectedNoise("eps")(None, image, labels[:4], ball, generator)
    assert inside(moved, image, ball).all()
    assert ((moved != image).flatten(1).sum(1) >= 4).all()
