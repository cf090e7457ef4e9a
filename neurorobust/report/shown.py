"""A record and the folder that it lies in: what every result shares."""

from __future__ import annotations

import contextlib
import io
import shutil
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from markupsafe import Markup
from rich.console import Console

from neurorobust.errors import OutputError
from neurorobust.evaluation import REPORT_FILE
from neurorobust.evaluation.folder import RECORD, SAMPLES
from neurorobust.support.terminal import Terminal

COLUMNS = 80
Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Shown(Generic[Kind]):
    """What came of some work; it prints, reports and shows itself.

    Attributes:
        record: all of it as plain data.
        folder: where `record.json` and `samples.npz` lie.
        temporary: the folder goes with the result.
    """

    record: Kind
    folder: Path
    temporary: bool = False

    def __post_init__(self) -> None:
        if self.temporary:
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    @property
    def page(self) -> Path:
        """Where the page lies, once it is written."""
        return self.folder / REPORT_FILE

    def show(self, console: Console, report: Path | None = None) -> None:
        """Print the table; the page's path, where one is given, is its last line."""
        raise NotImplementedError

    def _page(self, folder: Path) -> Path:
        """Write the page of the record in a folder."""
        raise NotImplementedError

    def report(self, out: Path | str | None = None) -> Path:
        """Write the page, with record and samples beside it: its path.

        Args:
            out: a new or empty folder; None: where the result lies.

        Raises:
            BadInput: the work is unfinished.
            OutputError: the folder holds something, or cannot be written.
        """
        if out is None or Path(out).resolve() == self.folder.resolve():
            return self._page(self.folder)
        folder, begun = Path(out), list[Path]()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise OutputError(f"{folder}: holds files already, need a new or empty folder")
            for name in (RECORD, SAMPLES):
                begun.append(folder / name)
                shutil.copyfile(self.folder / name, folder / name)
        except OSError as error:
            for path in begun:  # nothing half-written; the folder was empty
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            raise OutputError(f"{error.filename or folder}: {error.strerror}") from None
        return self._page(folder)

    def __str__(self) -> str:
        """The table that the command line prints, 80 columns wide."""
        told = io.StringIO()
        page = self.page if not self.temporary and self.page.is_file() else None
        self.show(Terminal(file=told, width=COLUMNS), page)
        return told.getvalue().strip("\n")

    def _repr_html_(self) -> str:
        """In a notebook: the same table."""
        return str(Markup("<pre>{}</pre>").format(str(self)))
