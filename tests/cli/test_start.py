"""What answers without computing does not load what computes."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from neurorobust.attacks.modes import PLAIN
from neurorobust.cli import app, faults, options, quantise
from neurorobust.fixedpoint import DECAY_BITS
from neurorobust.netx.quantise import MOST_BITS
from neurorobust.training.recipes import NETWORKS

HEAVY = ("torch", "lava", "statsmodels", "scipy", "matplotlib", "numba", "foolbox", "sklearn")
START = f"""
import contextlib, io, json, sys
from neurorobust.__main__ import main
found = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["neurorobust", *arguments]
    said, code = io.StringIO(), 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as stop:
            code = stop.code
    heavy = [name for name in {HEAVY} if name in sys.modules]
    found.append([arguments, code, heavy, said.getvalue()])
print(json.dumps(found))
"""


def _started(*lines: tuple[str, ...]) -> list[tuple[list[str], int, list[str], str]]:
    """Of each command line: itself, exit code, what is loaded by then, what was printed."""
    ran = subprocess.run(
        [sys.executable, "-c", START, json.dumps(lines)],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    return [tuple(row) for row in json.loads(ran.stdout)]


def test_no_help_page_loads_torch() -> None:
    names = [command.name or command.callback.__name__ for command in app.registered_commands]
    groups = [("faults",), *(("faults", name) for name in ("bits", "leak", "inputs"))]
    pages = [(), *((name,) for name in names), *groups]
    found = _started(*((*page, "--help") for page in pages))
    assert len(found) == len(pages) > 15
    for arguments, code, heavy, said in found:
        assert (code, heavy) == (0, []), arguments
        assert "Usage: " in said, arguments


def test_a_misspelt_command_or_option_is_refused_without_torch() -> None:
    found = _started(
        ("evalute",), ("evaluate", "digits-mlp", "--epz", "0.1"), ("faults", "bots"), ("train",)
    )
    assert len(found) == 4
    for arguments, code, heavy, _ in found:
        assert (code, heavy) == (2, []), arguments


def test_a_wrong_value_is_told_before_data_and_compiled_loops_are_loaded() -> None:
    found = _started(
        ("evaluate", "digits-mlp", "--attacks", "magic", "--eps", "0.1"),
        ("evaluate", "digits-mlp", "--attacks", "random", "--eps", "abc"),
        ("evaluate", "digits-mlp", "--attacks", "random"),
        ("evaluate", "digits-mlp", "--dataset", "imagenet"),
        ("evaluate", "nothing.net"),
    )
    assert len(found) == 5
    for arguments, code, heavy, said in found:
        assert (code, heavy) == (2, ["torch"]), arguments
        assert len(said.strip().splitlines()) == 1, said


def test_networks_and_versions_are_listed_without_torch() -> None:
    found = _started(("models",), ("info",))
    assert len(found) == 2
    for arguments, code, heavy, _ in found:
        assert code == 0, arguments
        assert set(heavy) <= {"lava"}, arguments  # an empty package; `info` looks behind it
    assert "digits-mlp" in found[0][3]


def test_names_and_defaults_that_are_written_out_are_the_registered_ones() -> None:
    def default(function: Callable[..., Any], name: str) -> Any:
        return inspect.signature(function).parameters[name].default

    assert tuple(NETWORKS) == options.NETWORKS
    assert default(faults.bits, "mode") == PLAIN.name
    assert default(quantise.quantise, "weight_bits") == str(MOST_BITS)
    assert default(quantise.quantise, "decay_bits") == str(DECAY_BITS)
