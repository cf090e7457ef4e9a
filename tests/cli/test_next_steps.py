"""What the demo tells a person to type next can be typed."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from neurorobust.cli import app
from neurorobust.cli import demo as demo_command

ROOT: Any = typer.main.get_command(app)


def test_every_next_step_is_a_command_on_what_the_demo_left(tmp_path: Path) -> None:
    out = tmp_path / "my runs"
    steps = demo_command.next_steps(out, "neurorobust")
    models = []
    for line in steps:
        program, name, *words = shlex.split(line, comments=True)
        assert program == "neurorobust"
        command = ROOT.get_command(ROOT.context_class(ROOT), name)
        assert command is not None, line
        if words == ["--help"]:
            continue
        given = command.make_context(name, words).params  # parsed, not run
        models += [given["model"]] if "model" in given else []
    assert models == [str(out / "model.net")] * 2
    assert any(" attacks" in line for line in steps)


@pytest.mark.parametrize(
    ("started", "on_path", "typed"),
    [
        ("bin/neurorobust", "bin", "neurorobust"),
        ("bin/neurorobust", "elsewhere", "bin/neurorobust"),
        ("package/__main__.py", "bin", "python -m neurorobust"),
    ],
)
def test_the_program_is_named_as_it_can_be_typed_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: str, on_path: str, typed: str
) -> None:
    script = tmp_path / "bin" / "neurorobust"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / on_path))
    monkeypatch.setattr(sys, "argv", [str(tmp_path / started)])
    assert demo_command.program() == typed


def test_the_readme_says_how_to_type_the_program_before_it_is_used() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    lines = text.splitlines()
    used = next(
        place for place, line in enumerate(lines) if line.startswith("neurorobust evaluate")
    )
    told = next(place for place, line in enumerate(lines) if "source .venv/bin/activate" in line)
    assert told < used
