"""The files that a fault's run wrote, with their checksums.

What is removed or replaced later, and what is believed, must still be what was written.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from neurorobust.errors import OutputError
from neurorobust.support import files

FILE = "checksums.json"
NETWORK = re.compile(r"[1-9][0-9]*\.net")


@dataclass
class Written:
    """What is noted in one folder.

    Attributes:
        out: the folder.
        sums: SHA-256 in hex, by the file's name.
    """

    out: Path
    sums: dict[str, str]

    @staticmethod
    def read(out: Path) -> Written:
        """The notes of an earlier run; none where there is no run's.

        Raises:
            OutputError: a file of that name that no run wrote.
        """
        path = out / FILE
        if not (path.exists() or path.is_symlink()):
            return Written(out, {})
        try:
            noted = json.loads(path.read_text(encoding="utf-8"))
            sound = isinstance(noted, dict) and all(
                isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value)
                for value in noted.values()
            )
        except (OSError, ValueError):
            sound = False
        if not sound:
            raise OutputError(f"{path}: not written by faults, and never replaced; move it")
        return Written(out, noted)

    def networks(self) -> dict[str, str]:
        """Networks that are still as they were written: SHA-256 by name."""
        return {
            name: value
            for name, value in self.sums.items()
            if NETWORK.fullmatch(name) and self._sum(name) == value
        }

    def note(self, name: str, content: bytes | None = None) -> None:
        """A file that has just been written, or that is about to be, with that content."""
        self.sums[name] = self._sum(name) if content is None else _digest(content)
        files.write_text(self.out / FILE, json.dumps(self.sums, indent=2) + "\n")

    def remove(self, names: Iterable[str]) -> None:
        """Remove files of ours.

        Raises:
            OutputError: one cannot be removed.
        """
        for name in names:
            try:
                (self.out / name).unlink(missing_ok=True)
            except OSError as error:
                message = f"{self.out / name}: cannot be removed: {error.strerror}"
                raise OutputError(message) from error
            self.sums.pop(name)

    def require(self, names: Iterable[str]) -> None:
        """Refuse files that are not what was written.

        Raises:
            OutputError: names the file.
        """
        for name in names:
            if self.sums.get(name) != self._sum(name):
                raise OutputError(
                    f"{self.out / name}: not as it was written, so it is not believed; "
                    "--overwrite does the work again"
                )

    def _sum(self, name: str) -> str:
        """SHA-256 of a file; empty where it is no regular file that can be read."""
        path = self.out / name
        try:
            if path.is_symlink() or not path.is_file():
                return ""
            return _digest(path.read_bytes())
        except OSError:
            return ""


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
