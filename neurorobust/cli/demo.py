"""`neurorobust demo`: the whole story in one command."""

from __future__ import annotations

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
        from neurorobust.demo import demo as run_demo
        from neurorobust.report import REPORT_FILE, print_record

        with output.progress() as bars:
            record = run_demo(out, seed, resume, overwrite, bars.say, bars, command_line())
        output.result(**summary(record, out))
        print_record(record, output.console, out / REPORT_FILE)
