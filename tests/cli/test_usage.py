"""A command line that cannot be read: one line, exit code 2, what was probably meant."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from typer.testing import Result

from neurorobust import __version__
from neurorobust.cli.output import Output

Command = Callable[..., Result]
WRONG = {
    "command": (("evalute",), "command 'evalute': unknown, did you mean evaluate?"),
    "command of a group": (("faults", "bots"), "command 'bots': unknown, did you mean bits?"),
    "option": (
        ("evaluate", "digits-mlp", "--epz", "0.1"),
        "evaluate: no such option --epz, did you mean --eps",
    ),
    "option of a group's command": (
        ("faults", "bits", "digits-mlp", "--modee", "x"),
        "faults bits: no such option --modee, did you mean --mode",
    ),
    "option like no other": (
        ("evaluate", "digits-mlp", "--qqqqqqq"),
        "no such option --qqqqqqq, `neurorobust evaluate --help` lists them",
    ),
    "argument missing": (("evaluate",), "evaluate: missing argument"),
    "number": (("evaluate", "digits-mlp", "--limit", "few"), "invalid value for '--limit'"),
    "encoder": (
        ("evaluate", "digits-mlp", "--encoder", "posson"),
        "--encoder 'posson': unknown, did you mean poisson?",
    ),
    "readout": (
        ("evaluate", "digits-mlp", "--readout", "last"),
        "--readout 'last': unknown, known: count, membrane",
    ),
    "backend": (
        ("run", "digits-mlp", "--input", "x", "--out", "y", "--backend", "engin"),
        "--backend 'engin': unknown, did you mean engine?",
    ),
    "network": (
        ("train", "--out", "x", "--network", "recurent"),
        "--network 'recurent': unknown, did you mean recurrent?",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_usage_is_one_line(command: Command, name: str) -> None:
    arguments, message = WRONG[name]
    result = command(*arguments)
    assert result.exit_code == 2, result.output
    (line,) = result.output.strip().splitlines()
    assert line.startswith("neurorobust")
    assert message in line


def test_wrong_usage_is_one_object_for_programs(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Output, "begun", False)
    result = command("evaluate", "digits-mlp", "--epz", "0.1", "--json")
    found = json.loads(result.stdout)
    assert found["exit_code"] == result.exit_code == 2
    assert "no such option --epz" in found["error"]


def test_the_version_is_told(command: Command) -> None:
    result = command("--version")
    assert (result.exit_code, result.output) == (0, f"neurorobust {__version__}\n")


@pytest.mark.parametrize("group", [(), ("faults",)], ids=["neurorobust", "faults"])
def test_no_command_at_all_is_answered_with_help(command: Command, group: tuple[str, ...]) -> None:
    result = command(*group)
    assert result.exit_code == 2
    assert "Usage: " in result.output
