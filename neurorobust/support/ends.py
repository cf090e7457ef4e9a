"""How a command ends where nobody foresaw it: one line, an exit code, a log for whoever mends it.

It imports nothing of this package and nothing heavy: it must work where an import failed.
"""

from __future__ import annotations

import datetime
import errno
import os
import platform
import shlex
import sys
import tempfile
import traceback
from dataclasses import dataclass

CHECK_FAILED = 1
BAD_INPUT = 2
BROKE = 3
INTERRUPTED = 130  # 128 + SIGINT, the shell's convention

_SHORT_OF_MEMORY = (  # torch, the loader of shared libraries, threads: no MemoryError of theirs
    "can't allocate memory",
    "cannot allocate memory",
    "out of memory",
    "failed to map segment",
    "can't start new thread",
)


@dataclass(frozen=True)
class End:
    """What is said of an exception, and the exit code.

    Attributes:
        message: one line.
        log: path of the file with the traceback; None: none was written.
    """

    message: str
    exit_code: int = BROKE
    log: str | None = None

    def fields(self) -> dict[str, object]:
        """The object that `--json` prints."""
        found: dict[str, object] = {"error": self.message, "exit_code": self.exit_code}
        return found | ({} if self.log is None else {"log": self.log})


def unforeseen(error: BaseException) -> End:
    """What to say of an exception that is none of `neurorobust.errors`.

    Too little memory is told apart: it is nobody's error, and its remedy is the user's. Anything
    else is an error of this program, and its traceback goes to a file that only its owner reads.
    """
    if short_of_memory(error):
        return End(
            "memory ran out; a smaller --limit, --batch or --memory-limit needs less, or give the "
            "process more (ulimit -v, the job's memory)"
        )
    what = f"{type(error).__name__}: {_first_line(error)}".rstrip(": ")
    try:
        log = _log(error)
    except OSError as problem:
        return End(f"an error of neurorobust itself: {what} (no log: {problem.strerror})")
    return End(
        f"an error of neurorobust itself: {what}; the traceback is in {log}, please report it",
        log=log,
    )


def short_of_memory(error: BaseException) -> bool:
    """Whether an exception says, in whichever library's words, that memory ran out."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    if isinstance(error, (RuntimeError, ImportError)):  # torch's own class is a RuntimeError
        text = str(error).lower()
        return any(words in text for words in _SHORT_OF_MEMORY)
    return False


def _first_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else f"{text[:200]}…"


def _log(error: BaseException) -> str:
    """Write the traceback to a new file of mode 0600 in the folder for temporary files."""
    handle, path = tempfile.mkstemp(prefix="neurorobust-", suffix=".log")
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
        now = datetime.datetime.now(datetime.timezone.utc)
        stream.write(f"{now.isoformat(timespec='seconds')}\n{shlex.join(sys.argv)}\n")
        stream.write(f"python {platform.python_version()}, {platform.platform()}\n\n")
        stream.writelines(traceback.format_exception(error))
    return path
