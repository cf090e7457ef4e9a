"""`neurorobust attacks` and the names of the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from neurorobust.api import list_attacks
from neurorobust.attacks import ATTACKS, LISTED, modes
from neurorobust.attacks.recipes import LATEST, RECIPES
from neurorobust.budgets import KINDS, parse
from neurorobust.support.names import near, unknown

Command = Callable[..., Result]


def test_every_attack_and_mode_has_one_line_and_a_source() -> None:
    assert [entry.member.name for entry in LISTED] == list(ATTACKS)
    assert [entry.member.name for entry in modes.LISTED] == list(modes.MODES)
    entries = [*LISTED, *modes.LISTED]
    assert len(entries) > 50
    for entry in entries:
        name = entry.member.name
        assert 0 < len(entry.about) <= 80, name
        assert re.search(r"\d{4}|control of equal budget|ours", entry.source), name


def test_every_kind_of_budget_is_explained_with_examples_that_are_read() -> None:
    assert len(KINDS) >= 4
    for name, kind in KINDS.items():
        assert kind.examples
        for text in kind.examples:
            budget = parse(name, text)
            assert budget.kind == name
            assert budget.scale in kind.scales
            assert kind.words(text)


def test_the_lists_hold_every_registered_name() -> None:
    found = list_attacks()
    named = {group: [row["name"] for row in found[group]] for group in ("attacks", "controls")}
    assert sorted(named["attacks"] + named["controls"]) == sorted(ATTACKS)
    assert named["controls"] == [name for name, one in ATTACKS.items() if one.control]
    assert [row["name"] for row in found["modes"]] == list(modes.MODES)
    assert [row["name"] for row in found["recipes"]] == list(RECIPES)
    assert [row["also"] for row in found["recipes"] if row["also"]] == list(LATEST)
    assert [row["option"] for row in found["budgets"]] == [f"--{kind}" for kind in KINDS]


def test_people_see_every_name_within_80_columns(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = command("attacks")
    assert result.exit_code == 0, result.output
    assert max(map(len, result.output.splitlines())) <= 80
    for name in (*ATTACKS, *modes.MODES, *RECIPES, *(f"--{kind}" for kind in KINDS)):
        assert re.search(rf"^  .*{re.escape(name)}(\s|$)", result.output, re.MULTILINE), name


def test_programs_get_one_object(command: Command, capfd: pytest.CaptureFixture[str]) -> None:
    assert command("attacks", "--json").exit_code == 0
    assert json.loads(capfd.readouterr().out) == list_attacks()


def test_the_readme_counts_no_control_as_an_attack() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    row = next(line for line in readme.splitlines() if line.startswith("| attacks |"))
    assert "`neurorobust attacks`" in row
    assert not re.search(r"\d+ on (images|spikes)", row)


NAMES = ["pgd-linf", "pgd-l2", "sda", "standard"]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("pgd-linff", "attack 'pgd-linff': unknown, did you mean pgd-linf or pgd-l2? see there"),
        ("magic", "attack 'magic': unknown, known: pgd-linf, pgd-l2, sda, standard"),
    ],
)
def test_what_is_near_is_suggested_and_else_all_are_named(typed: str, message: str) -> None:
    assert unknown("attack", typed, NAMES, "see there") == message


def test_nothing_is_near_what_nobody_would_mistype() -> None:
    assert near("magic", NAMES) == []
    assert near("standrad", NAMES) == ["standard"]
