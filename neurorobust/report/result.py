"""An evaluation's or a fault's record and its folder: it prints, reports and shows itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from neurorobust.errors import UnavailableError
from neurorobust.evaluation import read_record
from neurorobust.faults.record import FaultRecord, fault_of, read_fault
from neurorobust.records import Record
from neurorobust.report import words
from neurorobust.report.faults import print_fault, write_fault_report
from neurorobust.report.html import write_report
from neurorobust.report.shown import Shown
from neurorobust.report.table import print_record

if TYPE_CHECKING:
    import pandas


class Result(Shown[Record]):
    """What came of an evaluation; attributes: see `Shown`."""

    @staticmethod
    def read(folder: Path | str) -> Result:
        """An earlier result.

        Raises:
            BadInput: there is none, or it is damaged.
        """
        return Result(read_record(Path(folder)), Path(folder))

    def show(self, console: Console, report: Path | None = None) -> None:
        """Print the table; the page's path, where one is given, is its last line."""
        print_record(self.record, console, report)

    def _page(self, folder: Path) -> Path:
        return write_report(folder)

    def to_pandas(self) -> pandas.DataFrame:
        """One row an attack and budget, and one (`worst case`) for all attacks together.

        Columns: kind, budget, attack, control, correct, total, low, high (of the 95 % interval).

        Raises:
            UnavailableError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise UnavailableError("to_pandas: needs pandas; pip install pandas") from None
        record = self.record
        rows: list[tuple[str, str, str, bool, words.Counted]] = [
            ("", "", "clean", False, record.clean)
        ]
        for kind, rates in record.robust.items():
            for typed, rate in rates.items():
                for name, one in rate.by_attack.items():
                    rows.append((kind, typed, name, record.is_control(name), one))
                rows.append((kind, typed, "worst case", False, rate))
        names = ("kind", "budget", "attack", "control", "correct", "total", "low", "high")
        return pandas.DataFrame(
            [(*row, rate.correct, rate.total, *rate.interval) for *row, rate in rows],
            columns=list(names),
        )


class FaultResult(Shown[FaultRecord]):
    """What came of a fault; attributes: see `Shown`."""

    @staticmethod
    def read(folder: Path | str) -> FaultResult:
        """An earlier result.

        Raises:
            BadInput: there is none, or it is damaged.
        """
        return FaultResult(read_fault(Path(folder)), Path(folder))

    def show(self, console: Console, report: Path | None = None) -> None:
        """Print the table; the page's path, where one is given, is its last line."""
        print_fault(self.record, console, report)

    def _page(self, folder: Path) -> Path:
        return write_fault_report(folder)


def read_result(folder: Path | str) -> Result | FaultResult:
    """An earlier result, of an evaluation or of a fault.

    Args:
        folder: that `out=` named, or `--out`.

    Raises:
        BadInput: there is none, or it is damaged.

    Example:
        >>> try:
        ...     read_result("runs/nothing")
        ... except BadInput as error:
        ...     print(error)
        runs/nothing/record.json: cannot be read: No such file or directory
    """
    return Result.read(folder) if fault_of(Path(folder)) is None else FaultResult.read(folder)
