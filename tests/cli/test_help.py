"""Help pages: options in groups, examples that are commands, 80 columns."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer
from typer.testing import Result

from neurorobust.cli import app
from neurorobust.cli.help import COMMANDS, EXAMPLES

ROOT: Any = typer.main.get_command(app)
CONTEXT = ROOT.context_class(ROOT)
FEW = 4  # options that need no groups


def _pages() -> Iterator[tuple[str, Any]]:
    """Every command with its words, `faults bits`."""
    for name in ROOT.list_commands(CONTEXT):
        command = ROOT.get_command(CONTEXT, name)
        if not hasattr(command, "list_commands"):
            yield name, command
            continue
        inner = command.context_class(command, parent=CONTEXT)
        for part in command.list_commands(inner):
            yield f"{name} {part}", command.get_command(inner, part)


PAGES = dict(_pages())


def test_every_command_stands_in_a_group() -> None:
    grouped = {name for names in COMMANDS.values() for name in names}
    assert {path.split()[0] for path in PAGES} <= grouped


@pytest.mark.parametrize("path", PAGES)
def test_every_page_ends_with_examples_that_can_be_typed(path: str) -> None:
    command = PAGES[path]
    assert EXAMPLES[path]
    for line in EXAMPLES[path]:
        assert len(line) <= 78, line
        program, *words = shlex.split(line)
        assert program == "neurorobust"
        assert words[: len(path.split())] == path.split()
        command.make_context(path, words[len(path.split()) :])  # parsed, not run


@pytest.mark.parametrize("path", PAGES)
def test_many_options_are_in_groups(path: str) -> None:
    options = [one for one in PAGES[path].params if one.param_type_name == "option"]
    assert options
    lonely = [one.opts[0] for one in options if one.rich_help_panel is None]
    assert len(lonely) <= FEW, lonely


@pytest.mark.parametrize("path", ["evaluate", "faults bits", "train"])
def test_a_page_fits_80_columns_and_shows_its_examples(
    path: str, command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    result = command(*path.split(), "--help")
    assert result.exit_code == 0
    lines = [line.rstrip() for line in result.output.splitlines()]
    assert max(map(len, lines)) <= 80
    for example in EXAMPLES[path]:
        assert f" {example}" in lines
    assert any("─ Data ─" in line for line in lines)
