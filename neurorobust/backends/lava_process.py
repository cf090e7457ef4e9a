"""Starting, asking and ending the process that holds Lava. Knows processes, not networks.

The worker leads its own session: Ctrl-C in the terminal does not reach it, and it is ended, with
all processes that Lava forks, as one group. When the parent is gone, by SIGKILL even, the worker
ends itself (see `lava_worker`). It is a fresh interpreter, whatever start method the parent's
`multiprocessing` uses; a fork of the parent never ends or asks its parent's worker.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from pathlib import Path

from neurorobust.backends.lava_frames import CorruptedFrame, Frames, Message
from neurorobust.backends.lava_worker import ending, remove_shared_memory
from neurorobust.errors import BackendError, HardwareUnavailable

LOG_FOLDER = "NEUROROBUST_LOGS"  # environment: where logs of failed workers are kept
_PACKAGE_ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 5.0  # seconds from SIGTERM to SIGKILL
_LOG = "lava.log"
_BASE_CHARACTERS = 108 - 1 - len("/neurorobust-lava-12345678/pymp-12345678/listener-12345678")


class WorkerLost(Exception):
    """The worker or one of Lava's processes ended, or spoke nonsense: a new one may do better."""


class WorkerSilent(Exception):
    """No answer within the time limit."""


class WorkerProcess:
    """A worker and its directory.

    Args:
        directory: the worker's own directory; removed with it.
        arguments: integers for the worker's command line.
        module: the worker's program.
        patience: seconds that it gets to put things in order before its group is ended.
    """

    def __init__(
        self,
        directory: Path,
        arguments: list[int],
        module: str,
        patience: float = 0.0,
    ) -> None:
        self._log = directory / _LOG
        ours, theirs = socket.socketpair()
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
                [sys.executable, "-m", module]
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
        self._frames = Frames(ours)
        self._finalizer = weakref.finalize(
            self, _end, self._process, self._frames, directory, os.getpid(), patience
        )

    def fileno(self) -> int:
        """Readable when a message has begun to arrive, for `select`."""
        return self._frames.fileno()

    def send(self, message: Message, deadline: float) -> None:
        """Send one message.

        Raises:
            WorkerLost, WorkerSilent: it cannot be delivered.
        """
        try:
            self._frames.send(message, deadline)
        except TimeoutError:
            raise WorkerSilent from None
        except OSError:
            raise WorkerLost(self._how_it_ended()) from None

    def receive(self, deadline: float) -> Message:
        """The next message.

        Args:
            deadline: in `time.monotonic()` seconds.

        Raises:
            WorkerLost, WorkerSilent: none came.
            BackendError: the worker reports an error that another worker would meet too.
            HardwareUnavailable: there is no board.
        """
        try:
            message = self._frames.receive(deadline)
        except TimeoutError:
            raise WorkerSilent from None
        except (EOFError, OSError):
            raise WorkerLost(self._how_it_ended()) from None
        except CorruptedFrame as error:
            raise WorkerLost(f"corrupted reply: {error}") from None
        except Exception as error:  # a pickle of other things than ours
            raise WorkerLost(f"corrupted reply: {type(error).__name__}") from None
        if message[0] == "lost":
            raise WorkerLost(str(message[1]))
        if message[0] == "unavailable":
            raise HardwareUnavailable(str(message[1]))
        if message[0] == "error":
            raise BackendError(" ".join(str(message[1]).split()))
        return message

    def keep_log(self) -> Path:
        """Copy what Lava printed to where it outlives the worker: `$NEUROROBUST_LOGS` or /tmp."""
        folder = Path(os.environ.get(LOG_FOLDER) or tempfile.gettempdir())
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix="neurorobust-", suffix=".log", dir=folder)
        with os.fdopen(handle, "wb") as kept:
            kept.write(self._log.read_bytes() if self._log.is_file() else b"")
        return Path(name)

    def end(self) -> None:
        """End the worker and everything it started; remove what they left. Idempotent."""
        self._finalizer()

    def _how_it_ended(self) -> str:
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            how = ending(self.pid)
            if how is not None:
                return f"the worker ended ({how})"
            time.sleep(0.01)
        return "the worker hung up"


def _end(
    process: subprocess.Popen[bytes],
    frames: Frames,
    directory: Path,
    owner: int,
    patience: float,
) -> None:
    """SIGTERM, then SIGKILL, to the group; the leader is collected last: its number stays taken.

    With patience the leader alone gets a SIGTERM first.
    """
    if os.getpid() != owner:  # a fork of the parent must not end its worker
        return
    frames.close()  # from here on the worker ends by itself, if this is interrupted
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and ending(process.pid) is None:
        time.sleep(0.005)
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
