"""An evaluation's record and the folder that it lies in: it prints, reports and shows itself."""

from __future__ import annotations

import contextlib
import io
import shutil
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from neurorobust.errors import OutputError, UnavailableError
from neurorobust.evaluation import REPORT_FILE, read_record
from neurorobust.evaluation.folder import RECORD
from neurorobust.records import Record
from neurorobust.report import words
from neurorobust.report.html import SAMPLES_FILE, write_report
from neurorobust.report.table import print_record
from neurorobust.support.terminal import Terminal

if TYPE_CHECKING:
    import pandas

COLUMNS = 80


@dataclass(frozen=True)
class Result:
    """What came of an evaluation.

    Attributes:
        record: all of it as plain data.
        folder: where `record.json` and `samples.npz` lie.
        temporary: the folder goes with the result.
    """

    record: Record
    folder: Path
    temporary: bool = False

    def __post_init__(self) -> None:
        if self.temporary:
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    @staticmethod
    def read(folder: Path | str) -> Result:
        """An earlier result.

        Raises:
            BadInput: there is none, or it is damaged.
        """
        return Result(read_record(Path(folder)), Path(folder))

    def report(self, out: Path | str | None = None) -> Path:
        """Write the page, with record and samples beside it: its path.

        Args:
            out: a new or empty folder; None: where the result lies.

        Raises:
            BadInput: the evaluation is unfinished.
            OutputError: the folder holds something, or cannot be written.
        """
        if out is None or Path(out).resolve() == self.folder.resolve():
            return write_report(self.folder)
        folder, names = Path(out), (RECORD, SAMPLES_FILE)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise OutputError(f"{folder}: holds files already, need a new or empty folder")
            for name in names:
                shutil.copyfile(self.folder / name, folder / name)
        except OSError as error:
            for name in names:  # nothing half-written; the folder was empty
                with contextlib.suppress(OSError):
                    (folder / name).unlink(missing_ok=True)
            raise OutputError(f"{folder}: {error.strerror}") from None
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

    def __str__(self) -> str:
        """The table that the command line prints, 80 columns wide."""
        told = io.StringIO()
        report = self.folder / REPORT_FILE
        print_record(
            self.record,
            Terminal(file=told, width=COLUMNS),
            report if not self.temporary and report.is_file() else None,
        )
        return told.getvalue().strip("\n")

    def _repr_html_(self) -> str:
        """In a notebook: the same table."""
        return str(Markup("<pre>{}</pre>").format(str(self)))
