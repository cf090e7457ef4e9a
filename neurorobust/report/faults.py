"""A fault's record -> a terminal table, and one self-contained page."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from neurorobust.evaluation import REPORT_FILE
from neurorobust.faults.record import FaultRecord, read_fault
from neurorobust.report import sentences
from neurorobust.report.page import environment
from neurorobust.report.sheets import sheet
from neurorobust.support.files import write_text


def print_fault(record: FaultRecord, console: Console, report: Path | None = None) -> None:
    """Print what a fault's record says.

    Args:
        record: the result.
        console: where to; text of the record is never read as markup.
        report: path of the page, shown as the last line.
    """
    shown = sheet(record)
    console.print(Text.assemble((record.model, "bold"), " on ", (record.dataset, "bold")))
    console.print(f"{shown.title}; {record.samples:,} samples, seed {record.seed}", markup=False)
    for note in shown.notes:
        console.print(note, markup=False)
    table = Table()
    for head in shown.heads:
        table.add_column(Text(head.replace(", ", ",\n")))  # it breaks before figures do
    for row in shown.rows:
        table.add_row(*map(Text, row))
    console.print(table)
    if report is not None:
        console.print(Text.assemble(("report", "bold"), "  ", str(report)), soft_wrap=True)


def write_fault_report(folder: Path) -> Path:
    """Show the fault's record in a folder as `report.html` beside it: its path.

    Raises:
        BadInput: there is none, or it is damaged.
        OutputError: the page cannot be written.
    """
    path = folder / REPORT_FILE
    write_text(path, render_fault(read_fault(folder)))
    return path


def render_fault(record: FaultRecord) -> str:
    """The page as text; the same record gives the same bytes."""
    return (
        environment()
        .get_template("faults.html.j2")
        .render(
            record=record,
            sheet=sheet(record),
            encoder=sentences.encoder(record.card.encoder),
            readout=sentences.readout(record.card),
        )
    )
