"""What is asked: one value, from the command line or the front door to the record."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

from neurorobust.attacks import ATTACKS
from neurorobust.attacks.recipes import LATEST
from neurorobust.budgets import KINDS
from neurorobust.datasets.base import Dataset
from neurorobust.errors import BadInput
from neurorobust.evaluation import Confirm, Request, evaluate, read_record
from neurorobust.records import Card, EncoderCard

CARD = Card(
    encoder=EncoderCard(kind="drive", mean=0.0, std=1.0), steps=12, readout="count"
)  # fmt: skip
ASKED: dict[str, Any] = {
    "attacks": ("random",),
    "budgets": {"eps": ("0.1", "8/255")},
    "seed": 3,
    "seeds": 2,
    "draws": 4,
    "minimum": True,
    "targeted": True,
    "control": False,
    "confirm": Confirm("reference", 2),
    "compare_with": "pgd-linf",
}


def test_every_field_that_can_be_asked_is_written_down() -> None:
    asked = [one.name for one in fields(Request) if one.init]
    assert asked == list(ASKED)
    plain = Request(**ASKED).plain()
    assert json.loads(json.dumps(plain)) == plain
    assert plain == ASKED | {
        "attacks": ["random"],
        "budgets": {"eps": ["0.1", "8/255"]},
        "confirm": {"backend": "reference", "samples": 2},
    }


def test_a_record_says_all_that_was_asked(spiking, tmp_path: Path) -> None:
    drive = spiking("drive")
    x = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    data = Dataset("toy", "test", x, drive.predict(x), 4)
    request = Request(["random"], {"eps": ["0.1"], "flips": []}, seed=5, seeds=2, minimum=True)
    record = evaluate(drive, data, request, card=CARD, out=tmp_path)
    assert record.request == request.plain()
    assert record.request["budgets"] == {"eps": ["0.1"]}
    assert read_record(tmp_path) == record


def test_a_recipe_is_written_down_with_its_version_in_its_place() -> None:
    request = Request(["sda", "standard"], {"eps": ["0.1"], "flips": ["3"]})
    decided = request.fitting(4, True).decided("bptr")
    assert request.plain()["attacks"] == ["sda", LATEST["standard"]]
    assert decided.plain() == request.plain()
    assert not decided.undecided
    assert request.undecided


def test_attacks_of_somebodys_own_are_written_down_by_name() -> None:
    own = ATTACKS["pgd-linf"]
    plain = Request([own], {"eps": ["0.1"]}, compare_with=own).plain()
    assert (plain["attacks"], plain["compare_with"]) == (["pgd-linf"], "pgd-linf")


def test_a_kind_of_budget_that_is_none_is_refused() -> None:
    with pytest.raises(BadInput, match=r"budget 'pixels': unknown, known: eps, flips"):
        Request(["random"], {"pixels": ["3"]})
    with pytest.raises(BadInput, match="draws 0: below 1"):
        Request(draws=0)


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_names_an_attack_that_compares_and_one_to_suggest(kind: str) -> None:
    for name in (KINDS[kind].compared_by, KINDS[kind].attack):
        assert (ATTACKS[name].kind, ATTACKS[name].access) == (kind, "white-box")
    for text in KINDS[kind].examples:
        budget = KINDS[kind].parse(text)
        stored = json.loads(json.dumps(budget.numbers))
        assert KINDS[kind].of(stored) == budget
