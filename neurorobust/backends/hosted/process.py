"""Starting, asking and ending the process that holds Lava. Knows processes, not networks.

The worker has a session of its own, led by a guard (see `guard`): Ctrl-C in the terminal does not
reach it, and the guard ends it, with all processes that Lava forks, when the parent asks for
that or is gone, by SIGKILL even. It is a fresh interpreter, whatever start method the parent's
`multiprocessing` uses; a fork of the parent never ends or asks its parent's worker.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from pathlib import Path

from neurorobust.backends.hosted import guard
from neurorobust.backends.hosted.frames import CorruptedFrame, Frames, Message
from neurorobust.errors import BackendError, HardwareUnavailable

LOG_FOLDER = "NEUROROBUST_LOGS"  # environment: where logs of failed workers are kept
_PACKAGE_ROOT = Path(__file__).resolve().parents[3]
_PATIENCE = 5.0  # seconds that a guard gets to end everything; then the parent does
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
        patience: int = 0,
    ) -> None:
        self._log = directory / _LOG
        ours, theirs = socket.socketpair()
        self._lifeline, lifeline = socket.socketpair()
        environment = dict(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(
            filter(None, (str(_PACKAGE_ROOT), environment.get("PYTHONPATH")))
        )
        environment.pop("PYTHONWARNINGS", None)  # Lava warns as it is imported
        environment["TMPDIR"] = str(directory)
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[variable] = "1"  # one process a layer already
        numbers = (lifeline.fileno(), os.getpid(), patience, theirs.fileno(), *arguments)
        with theirs, lifeline, self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", guard.__name__, module, *map(str, numbers)],
                pass_fds=(lifeline.fileno(), theirs.fileno()),
                start_new_session=True,
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.pid = self._process.pid  # the guard's, and the session's number
        self._frames = Frames(ours)
        self._finalizer = weakref.finalize(
            self,
            _end,
            self._process,
            self._frames,
            self._lifeline,
            directory,
            os.getpid(),
            patience,
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
        self._lifeline.settimeout(_PATIENCE)
        with contextlib.suppress(OSError):
            how = self._lifeline.recv(1024).decode()
            if not how:  # the guard itself was ended, with the worker
                how = self._how_the_guard_ended()
            return f"the worker ended ({how})"
        return "the worker hung up"

    def _how_the_guard_ended(self) -> str:
        """The lifeline is cut a moment before the kernel knows how."""
        while (how := guard.ending(self.pid)) is None:
            time.sleep(0.001)
        return how


def _end(
    process: subprocess.Popen[bytes],
    frames: Frames,
    lifeline: socket.socket,
    directory: Path,
    owner: int,
    patience: int,
) -> None:
    """Ask the guard to end everything; what it does not do in time is done here.

    The guard is collected last: its session's number stays taken.
    """
    if os.getpid() != owner:  # a fork of the parent must not end its worker
        return
    with contextlib.suppress(OSError):  # a guard that was killed
        lifeline.shutdown(socket.SHUT_WR)  # from here on it works alone, if this is interrupted
    frames.close()
    lifeline.settimeout(patience + _PATIENCE)
    with contextlib.suppress(OSError):
        while lifeline.recv(1024):  # until it is through
            pass
    lifeline.close()
    while left := guard.members(process.pid):
        guard.kill(left)
        time.sleep(0.002)
    process.wait()
    guard.remove_shared_memory(process.pid)
    shutil.rmtree(directory, ignore_errors=True)


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
