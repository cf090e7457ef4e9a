"""Starting, asking and ending the process that holds Lava. Knows processes, not networks.

The worker leads its own session: Ctrl-C in the terminal does not reach it, and it is ended, with
all processes that Lava forks, as one group. When the parent is gone, by SIGKILL even, the worker
ends itself (see `lava_worker`).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from pathlib import Path
from typing import Any

from neurorobust.backends.lava_worker import remove_shared_memory
from neurorobust.errors import BackendError

_PACKAGE_ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 5.0  # seconds from SIGTERM to SIGKILL
_LOG = "lava.log"
_BASE_CHARACTERS = 108 - 1 - len("/neurorobust-lava-12345678/pymp-12345678/listener-12345678")
_TAIL_LINES, _TAIL_CHARACTERS = 8, 1200


class WorkerProcess:
    """A worker and its directory.

    Args:
        directory: the worker's own directory; removed with it.
        arguments: integers for the worker's command line.
    """

    def __init__(self, directory: Path, arguments: list[int]) -> None:
        self._log = directory / _LOG
        self._connection, theirs = multiprocessing.Pipe()
        environment = dict(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(
            filter(None, (str(_PACKAGE_ROOT), environment.get("PYTHONPATH")))
        )
        environment.pop("PYTHONWARNINGS", None)  # Lava warns as it is imported
        environment["TMPDIR"] = str(directory)
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[variable] = "1"  # one process a layer already
        with theirs, self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "neurorobust.backends.lava_worker"]
                + [str(number) for number in (theirs.fileno(), os.getpid(), *arguments)],
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.pid = self._process.pid
        self._finalizer = weakref.finalize(
            self, _end, self._process, self._connection, directory, os.getpid()
        )

    def send(self, message: tuple[Any, ...]) -> None:
        """Send one message.

        Raises:
            BackendError: the worker is gone.
        """
        try:
            self._connection.send(message)
        except OSError:
            raise BackendError(f"lava: the worker ended{self._tail()}") from None

    def receive(self, deadline: float, limit: float) -> tuple[Any, ...]:
        """The next message.

        Args:
            deadline: in `time.monotonic()` seconds.
            limit: what the deadline stands for, for the message.

        Raises:
            BackendError: the deadline passed, the worker ended or reported an error.
        """
        try:
            if not self._connection.poll(max(0.0, deadline - time.monotonic())):
                raise BackendError(f"lava: no answer within {limit:g} s{self._tail()}")
            message: tuple[Any, ...] = self._connection.recv()
        except (EOFError, OSError):
            raise BackendError(f"lava: the worker ended{self._tail()}") from None
        if message[0] == "error":
            raise BackendError(f"lava: {message[1]}{self._tail()}")
        return message

    def end(self) -> None:
        """End the worker and everything it started; remove what they left. Idempotent."""
        self._finalizer()

    def _tail(self) -> str:
        """The end of the log, on one line."""
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if not lines:
            return ""
        return f"; its log ends: {' | '.join(lines[-_TAIL_LINES:])[-_TAIL_CHARACTERS:]}"


def _end(process: subprocess.Popen[bytes], connection: Any, directory: Path, owner: int) -> None:
    """SIGTERM, then SIGKILL, to the group; the leader is collected last: its number stays taken."""
    if os.getpid() != owner:  # a fork of the parent must not end its worker
        return
    connection.close()  # from here on the worker ends by itself, if this is interrupted
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline and group_lives(process.pid):
            time.sleep(0.005)
        if not group_lives(process.pid):
            break
    process.wait()
    remove_shared_memory(process.pid)
    shutil.rmtree(directory, ignore_errors=True)


def group_lives(group: int) -> bool:
    """Whether a process of this group runs (one that ended and waits to be collected does not)."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = status.read_text(errors="replace").rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                return True
    return False


def new_directory() -> Path:
    """A fresh directory for one worker and all its temporary files.

    Lava's memory manager listens on a socket in it, and a socket's path must be short.
    """
    base = tempfile.gettempdir()
    return Path(
        tempfile.mkdtemp(
            prefix="neurorobust-lava-", dir=base if len(base) <= _BASE_CHARACTERS else "/tmp"
        )
    )
