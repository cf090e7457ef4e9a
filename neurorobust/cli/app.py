"""The command line: each verb takes files and writes files."""

from __future__ import annotations

from typing import Annotated

import typer

from neurorobust.cli import (
    attacks,
    card,
    check,
    compare,
    demo,
    evaluate,
    export,
    faults,
    import_nir,
    info,
    parity,
    quantise,
    report,
    run,
    train,
)
from neurorobust.cli.help import EXAMPLES
from neurorobust.cli.usage import Commands
from neurorobust.support.version import __version__

app = typer.Typer(
    name="neurorobust",
    cls=Commands,
    help="Train, export, check, run and attack spiking networks as they are deployed.",
    no_args_is_help=True,
    add_completion=False,
    epilog="\n\n".join(("Examples:", *EXAMPLES[""])),
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        print(f"neurorobust {__version__}")
        raise typer.Exit


@app.callback()
def neurorobust(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """Options before a command's name."""


for verb in (
    demo.demo,
    train.train,
    export.export,
    card.card,
    check.check,
    quantise.quantise,
    parity.parity,
    run.run,
    evaluate.evaluate,
    compare.compare,
    report.report,
    info.models,
    attacks.attacks,
    info.info,
):
    app.command()(verb)
app.command("import")(import_nir.import_nir)
app.add_typer(faults.app)
