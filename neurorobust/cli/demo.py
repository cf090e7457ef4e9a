"""`neurorobust demo`: the whole story in one command."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from neurorobust.cli import options
from neurorobust.cli.evaluate import summary
from neurorobust.cli.output import command_line, session


def demo(
    out: Annotated[Path, typer.Option(help="Where everything goes.")] = Path("runs/demo"),
    seed: options.Seed = 0,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Bundled digits: train, export, check parity, attack, compare with float, confirm in Lava."""
    with session(as_json, resumable=True) as output:
        from neurorobust import api

        with output.progress() as bars:
            result = api.demo(
                out,
                seed=seed,
                resume=resume,
                overwrite=overwrite,
                say=bars.say,
                progress=bars,
                command=command_line(),
            )
        output.result(**summary(result.record, out))
        result.show(output.console, result.page)
        output.console.print("\nwhat to do next")
        for line in next_steps(out, program()):
            output.console.print(f"  {line}", markup=False, soft_wrap=True)


def next_steps(out: Path, name: str) -> tuple[str, ...]:
    """Commands that work on what the demo left.

    Args:
        out: its directory.
        name: how the program is called here.
    """
    model = shlex.quote(str(out / "model.net"))
    return (
        f"{name} check {model} --dataset digits  # rules, fit, energy",
        f"{name} evaluate {model} --attacks standard --eps 0.1 --limit 64  # the strongest attacks",
        f"{name} attacks  # all there are",
        f"{name} export --help  # your own lava-dl network",
    )


def program() -> str:
    """What a person types to start this program: `neurorobust`, or its path where PATH lacks it."""
    started = Path(sys.argv[0])
    if started.name != "neurorobust":
        return "python -m neurorobust"
    found = shutil.which("neurorobust")
    if found is not None and Path(found).resolve() == started.resolve():
        return "neurorobust"
    return shlex.quote(os.path.relpath(started))
