"""The first process of a worker: it starts the one that holds Lava, and outlives all of them.

    python -m neurorobust.backends.hosted.guard PROGRAM LIFELINE PARENT PATIENCE CONNECTION ...

The guard leads the worker's session and forks the worker before anything of Lava is imported. It
has one thread and imports nothing large, so that no lock of Lava's, no lack of memory and no load
keeps it from its work. It ends everything when the first of these happens:

- the parent hangs up the lifeline, which is a socket, or dies (SIGKILL too);
- SIGTERM or SIGHUP;
- the worker ends; the parent, which may want the log, is told how and hangs up when it has it.

Every descendant of the guard is killed and collected; where a process of Lava lost its own parent,
the kernel gives it to the guard (PR_SET_CHILD_SUBREAPER), so that "no child is left" means that
nothing of Lava runs. Only then are shared memory and the directory removed: nobody is left to make
them again. Should the guard itself be killed, the kernel kills the worker, and with the worker
Lava's processes (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import runpy
import select
import shutil
import signal
import socket
import sys
import time
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # <linux/prctl.h>
_LOOK = 1000  # milliseconds between looks at who the parent is
_REMIND = 0.5  # seconds between SIGTERMs: one that comes right before a system call is not seen
_PAUSE = 0.002  # seconds
_LIBRARY = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def shared_memory_prefix(session: int) -> str:
    """How the names of a worker's shared memory begin: it is found when nothing lives."""
    return f"neurorobust-{session}-"


def remove_shared_memory(session: int) -> None:
    """Unlink what a worker's processes left in /dev/shm."""
    for segment in SHARED_MEMORY.glob(f"{shared_memory_prefix(session)}*"):
        with contextlib.suppress(FileNotFoundError):
            segment.unlink()


def ending(process: int) -> str | None:
    """How a child ended, in words; None while it runs. It stays to be collected."""
    try:
        found = os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return "unknown"
    if found is None:
        return None
    if found.si_code == os.CLD_EXITED:
        return f"exit code {found.si_status}"
    name = signal.Signals(found.si_status).name
    return f"{name}; out of memory?" if name == "SIGKILL" else name


def members(session: int) -> list[int]:
    """Processes that run in a session, or are children of its leader; the leader last.

    One that ended and waits to be collected does not run.
    """
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            words = status.read_text(errors="replace").rpartition(")")[2].split()
            state, parent, _, its_session = words[:4]
            process = int(status.parent.name)
            if session in (int(its_session), int(parent)) and state not in "ZX":
                found.append(process)
    return sorted(found, key=lambda process: process == session)


def kill(processes: list[int]) -> None:
    """SIGKILL to each that is still there."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent's thread that forked it ends.

    Args:
        parent: whose child this is. Where it died before the kernel was asked, this process ends.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Have the kernel give this process every descendant that loses its parent."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    assert _LIBRARY is not None  # `require_lava` refuses other systems
    if _LIBRARY.prctl(option, value, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")


class Guard:
    """What the guard listens to.

    Args:
        lifeline: the parent's socket.
        parent: its process id.
    """

    def __init__(self, lifeline: socket.socket, parent: int) -> None:
        self._lifeline, self._parent = lifeline, parent
        self._signals, self._received = {signal.SIGTERM, signal.SIGHUP}, ""
        self._wake, self._woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in (signal.SIGCHLD, *self._signals):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        self._poll = select.poll()
        self._poll.register(self._wake, select.POLLIN)
        self._poll.register(lifeline.fileno(), select.POLLRDHUP)

    def unneeded(self, wait: float = _LOOK) -> bool:
        """Whether nobody needs the worker any more.

        Args:
            wait: milliseconds, at most, until something happens; the end of a child is something.
        """
        events = dict(self._poll.poll(wait))
        if self._wake in events:
            for number in self._signals.intersection(
                map(signal.Signals, os.read(self._wake, 1024))
            ):
                self._received = number.name
        hung_up = self._lifeline.fileno() in events or os.getppid() != self._parent
        return hung_up or bool(self._received)

    def forget(self) -> None:
        """In the worker: be an ordinary process again."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, *self._signals):
            signal.signal(number, signal.SIG_DFL)
        for file in (self._wake, self._woken):
            os.close(file)
        self._lifeline.close()

    def watch(self, worker: int, patience: float) -> None:
        """Return when the worker is to be ended, or has ended.

        Args:
            worker: process id of a child.
            patience: seconds that it gets to put things in order after a SIGTERM.
        """
        how = None
        while how is None and not self.unneeded():
            how = ending(worker)
        with contextlib.suppress(OSError):  # the parent is gone
            self._lifeline.send((how or self._received).encode(), socket.MSG_NOSIGNAL)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and ending(worker) is None:
            os.kill(worker, signal.SIGTERM)
            again = time.monotonic() + _REMIND
            while time.monotonic() < again and ending(worker) is None:
                time.sleep(_PAUSE)


def end_all() -> None:
    """Kill and collect every descendant of this process, which adopts orphans."""
    me = os.getpid()
    while True:
        others = [process for process in members(me) if process != me]
        kill(others)
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            if not others:
                return
        time.sleep(_PAUSE)


def main() -> None:
    """Be a guard; in the forked child, be the worker."""
    program, *rest = sys.argv[1:]
    lifeline, parent, patience, connection = (int(number) for number in rest[:4])
    directory, me = Path.cwd(), os.getpid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    guard = Guard(socket.socket(fileno=lifeline), parent)
    adopt_orphans()
    if not guard.unneeded(0):
        worker = os.fork()
        if worker == 0:
            guard.forget()
            die_with(me)
            sys.argv = [program, *rest[3:]]
            runpy.run_module(program, run_name="__main__", alter_sys=True)
            return
        os.close(connection)  # else the parent misses the worker's end
        guard.watch(worker, patience)
    end_all()
    remove_shared_memory(me)
    while not guard.unneeded():
        pass
    shutil.rmtree(directory, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main()
