"""`neurorobust report`: the page of a record, made again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neurorobust.cli import options
from neurorobust.cli.output import session


def report(
    directory: Annotated[
        Path, typer.Argument(help="Directory of a finished evaluation or of faults.")
    ],
    as_json: options.Json = False,
) -> None:
    """Write report.html again from record.json and samples.npz, and print the table."""
    with session(as_json) as output:
        from neurorobust import api

        result = api.read_result(directory)
        page = result.report()
        output.result(report=str(page))
        result.show(output.console, page)
