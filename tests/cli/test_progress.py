"""What a person sees while it works, where there is no terminal."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from neurorobust.cli import output


def test_lines_say_the_time_left(monkeypatch, capsys: pytest.CaptureFixture[str]):
    clock = [100.0]
    monkeypatch.setattr(output.time, "monotonic", lambda: clock[0])
    bars = output.Bars()
    bars(0, 40, "clean")
    for done, now in ((4, 130.0), (5, 131.0), (10, 400.0), (39, 1300.0), (40, 1400.0)):
        clock[0] = now
        bars(done, 40, "attack")
    assert capsys.readouterr().err.splitlines() == [
        "clean: 0 of 40",
        "attack: 4 of 40, about 4 min left",  # 36 to go at 7.5 s each
        "attack: 10 of 40, about 15 min left",
        "attack: 39 of 40, about 31 s left",
        "attack: 40 of 40",
    ]


def test_the_only_clock_of_a_bar_says_what_it_is_within_80_columns():
    bars = output.Bars()
    display = bars._display
    display.add_task("standard-1: probing widths, scales and steps", total=20, completed=11)
    display.add_task("eps=0.1/apgd-ce+straight-through-1", total=1)
    shown = io.StringIO()
    Console(file=shown, width=80, color_system=None).print(display.get_renderable())
    lines = shown.getvalue().splitlines()
    assert len(lines) == 2
    for line in lines:
        assert len(line) <= 80
        assert re.search(r"\d+/\d+ +[-\d]+:[-\d]+(:[-\d]+)? left *$", line), line
        assert len(re.findall(r"[-\d]+:[-\d]{2}:[-\d]{2}", line)) == 1, line
