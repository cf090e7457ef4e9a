"""Budgets on the command line come from their registry, and so do their keys in `--json`."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import typer
from typer.testing import CliRunner

from neurorobust.budgets import KINDS, PatchBudget, parse
from neurorobust.cli import app
from neurorobust.cli.budget_options import (
    NO_BUDGETS,
    BudgetOptions,
    rates_by_key,
    takes_budgets,
)
from neurorobust.rates import RobustRate


class Squares(PatchBudget):
    kind = "squares"


def told() -> typer.Typer:
    """A program of one command that prints the budgets it was given."""
    made = typer.Typer()

    @made.command()
    @takes_budgets
    def command(budgets: BudgetOptions = NO_BUDGETS, seed: int = 0) -> None:
        print(json.dumps([budgets, seed]))

    return made


def test_budgets_reach_a_command_by_kind_without_those_of_which_none_was_typed() -> None:
    ran = CliRunner().invoke(
        told(), ["--eps", "0.1, 8/255", "--flips", ",", "--patches", "5x5", "--seed", "3"]
    )
    assert json.loads(ran.stdout) == [{"eps": ["0.1", "8/255"], "patches": ["5x5"]}, 3]
    assert json.loads(CliRunner().invoke(told(), []).stdout) == [{}, 0]


def test_a_new_kind_of_budget_is_an_option_and_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = replace(KINDS["patches"], budget=Squares, option="Squares of the sensor: 3x3.")
    monkeypatch.setitem(KINDS, kind.name, kind)
    program = told()
    assert json.loads(CliRunner().invoke(program, ["--squares", "3x3"]).stdout)[0] == {
        "squares": ["3x3"]
    }
    assert "Squares of the sensor: 3x3." in CliRunner().invoke(program, ["--help"]).stdout
    assert list(rates_by_key({}, ()))[-1] == "robust_squares"


@pytest.mark.parametrize("verb", ["evaluate", "compare", "quantise"])
def test_every_command_that_attacks_takes_every_kind_of_budget(verb: str) -> None:
    (command,) = (one.callback for one in app.registered_commands if one.callback.__name__ == verb)
    assert set(KINDS) <= set(command.__annotations__)


def test_the_documented_keys_stay() -> None:
    rate = RobustRate(
        kind="flips", text="3", numbers=parse("flips", "3").numbers,
        correct=1, total=2, interval=(0.0, 1.0), by_attack={},
    )  # fmt: skip
    assert rates_by_key({"flips": {"3": rate}}, ("correct", "total", "interval")) == {
        "robust": {},
        "robust_flips": {"3": {"correct": 1, "total": 2, "interval": [0.0, 1.0]}},
        "robust_shifts": {},
        "robust_patches": {},
    }
