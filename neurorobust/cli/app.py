"""The command line: each verb takes files and writes files."""

from __future__ import annotations

import typer

from neurorobust.cli import (
    card,
    check,
    compare,
    demo,
    evaluate,
    export,
    fault_inputs,
    faults,
    info,
    nir,
    parity,
    quantise,
    report,
    run,
    train,
)

app = typer.Typer(
    name="neurorobust",
    help="Train, export, check, run and attack spiking networks as they are deployed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
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
    info.info,
):
    app.command()(verb)
app.command("import")(nir.import_nir)
faults.app.command()(fault_inputs.inputs)
app.add_typer(faults.app)
