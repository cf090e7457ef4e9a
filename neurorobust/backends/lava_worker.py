"""The process that holds Lava: `python -m neurorobust.backends.lava_worker`.

It leads its own session, so that Lava's processes can be ended with it as one group, and ends
itself when the parent is gone. What Lava prints goes to its stdout and stderr: a log file.

Messages are tuples over a socket. From the parent: `("run", driven, batch, steps, record)`. From
here: `("ready",)` once Lava is imported; for each run `("started", freshly compiled)`, some
`("done", samples)` and `("result", arrays, MiB held, what was measured)`; or `("error", text)`
where another worker would fail alike, `("lost", text)` where one of Lava's processes was killed,
`("unavailable", text)` where there is no board.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing import resource_tracker, shared_memory
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from neurorobust.backends.lava_exchange import Array
from neurorobust.backends.lava_frames import Frames
from neurorobust.backends.lava_models import FAILURE_FILE
from neurorobust.backends.lava_network import LavaNetwork
from neurorobust.errors import HardwareUnavailable

MODEL_FILE = "model.net"
SHARED_MEMORY = Path("/dev/shm")
_GRACE = 3.0  # seconds that Lava's processes get to end
_MIB = 1 << 20


def shared_memory_prefix(worker: int) -> str:
    """How the names of a worker's shared memory begin: it is found when nothing lives."""
    return f"neurorobust-{worker}-"


def remove_shared_memory(worker: int) -> None:
    """Unlink what a worker's group left in /dev/shm."""
    for segment in SHARED_MEMORY.glob(f"{shared_memory_prefix(worker)}*"):
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


def memory() -> int:
    """MiB that this group's processes hold; what they share counts once (the kernel's Pss)."""
    total, group = 0, os.getpgrp()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            if os.getpgid(int(folder.name)) == group:
                text = (folder / "smaps_rollup").read_text(errors="replace")
                total += int(text.partition("Pss:")[2].split()[0])
    return total >> 10


def limit_memory(more: int) -> None:
    """From here on this process, and each that Lava forks from it, gets so many MiB more.

    What counts is private and writable memory (the kernel's VmData, RLIMIT_DATA). Imports are done
    by now: libraries that cannot allocate while they load hang or abort without a word.
    """
    if more:
        import resource  # not on Windows, where this module is imported too

        text = Path("/proc/self/status").read_text(encoding="utf-8")
        held = int(text.partition("VmData:")[2].split()[0]) << 10
        resource.setrlimit(resource.RLIMIT_DATA, (held + more * _MIB, held + more * _MIB))


class Served(Protocol):
    """A network that a worker runs."""

    def run(
        self, batch: Array, steps: int, record: list[int], done: Callable[[int], None]
    ) -> dict[str, Array]:
        """See `LavaNetwork.run`."""
        ...


Make = Callable[[dict[str, Any], bool, Frames], Served]


def serve(frames: Frames, arguments: dict[str, Any], make: Make) -> None:
    """Answer messages until the parent hangs up; networks are made when first asked for."""
    networks: dict[bool, Served] = {}
    import lava.lib.dl.netx.hdf5  # noqa: F401 (slow: done before "ready")

    limit_memory(arguments["limit"])
    frames.send(("ready",))
    while True:
        try:
            _, driven, batch, steps, record = frames.receive()
        except EOFError:
            return
        compiled = driven not in networks
        if compiled:
            networks[driven] = make(arguments, driven, frames)
        frames.send(("started", compiled))
        result = networks[driven].run(
            batch, steps, record, lambda samples: frames.send(("done", samples))
        )
        frames.send(("result", result, memory(), getattr(networks[driven], "report", {})))


def make_network(arguments: dict[str, Any], driven: bool, frames: Frames) -> Served:
    """A network in Lava's fixed-point simulation; the end of any of its processes is noticed."""
    skip = 0 if driven else arguments["skip"]
    network = LavaNetwork(
        arguments["file"],
        arguments["layers"],
        arguments["input_shape"],
        driven,
        skip,
        bool(arguments["options"][0]),
    )
    for process in network.processes:
        threading.Thread(
            target=watch, args=(frames, process, arguments["limit"]), daemon=True
        ).start()
    return network


def watch(frames: Frames, process: int, limit: int) -> None:
    """Wait for the end of one of Lava's processes, which Lava itself would wait for without end."""
    with contextlib.suppress(OSError):  # a kernel without pidfd: the time limit finds it
        fd = os.pidfd_open(process)
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.poll()
        how = ending(process)
        text = failure(limit)
        if text is not None:
            frames.send(("error", text))
        else:
            frames.send(("lost", f"one of Lava's processes ended ({how})"))


def failure(limit: int, error: BaseException | None = None) -> str | None:
    """What went wrong: in one of Lava's processes, which goes first, or here."""
    text = None if error is None else f"{type(error).__name__}: {error}".rstrip(": ")
    with contextlib.suppress(FileNotFoundError):
        text = Path(FAILURE_FILE).read_text(encoding="utf-8", errors="replace")
    if text is not None and ("MemoryError" in text or "Cannot allocate memory" in text):
        allowed = f"{limit} MiB a process beyond its start" if limit else "the machine's"
        text = f"out of memory (limit: {allowed}): {text}"
    return text


def leave_nothing(directory: Path) -> None:
    """Remove this worker's files and shared memory."""
    remove_shared_memory(os.getpid())
    shutil.rmtree(directory, ignore_errors=True)


def end_with_parent(
    frames: Frames, parent: int, directory: Path, patience: float, alone: threading.Event
) -> None:
    """Wait until the parent hangs up or dies, then end the whole group and leave nothing behind.

    With patience the main thread gets that long to do both in order; `alone` tells it to.
    """
    poll = select.poll()
    poll.register(frames.fileno(), 0)  # hang-up is always reported
    while not poll.poll(1000) and os.getppid() == parent:
        pass
    if patience:
        alone.set()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(patience)
    leave_nothing(directory)
    os.killpg(0, signal.SIGTERM)
    time.sleep(2 * _GRACE)
    os.killpg(0, signal.SIGKILL)


class Terminated(BaseException):
    """SIGTERM, where there is something to put in order first."""


def end_in_order(leader: int, patience: float) -> Callable[[int, FrameType | None], None]:
    """A handler of SIGTERM: Lava's processes end at once, the worker collects them, then ends.

    With patience the first SIGTERM raises `Terminated` instead: a board is given back.
    """
    tracker = resource_tracker.getfd()
    raised = False

    def handler(number: int, _frame: FrameType | None) -> None:
        nonlocal raised
        if os.getpid() == leader:
            if patience and not raised:
                raised = True
                raise Terminated
            signal.signal(number, signal.SIG_IGN)
            os.killpg(0, number)
            if tracker is not None:
                with contextlib.suppress(OSError):
                    os.close(tracker)  # the resource tracker ends when nobody holds its pipe
            deadline = time.monotonic() + _GRACE
            with contextlib.suppress(ChildProcessError):
                while time.monotonic() < deadline:
                    if os.waitpid(-1, os.WNOHANG) == (0, 0):
                        time.sleep(0.01)
        os._exit(0)

    return handler


def work(make: Make, patience: float = 0.0) -> None:
    """Be a worker. Arguments: file descriptor, parent, layers, skip, MiB limit, C, H, W, options.

    Args:
        make: a network for the worker.
        patience: seconds that a SIGTERM leaves for giving a board back.
    """
    fd, parent, layers, skip, limit, *others = (int(argument) for argument in sys.argv[1:])
    frames = Frames(socket.socket(fileno=fd))
    os.register_at_fork(after_in_child=frames.close)  # else the parent misses this one's end
    directory = Path.cwd()
    alone = threading.Event()
    threading.Thread(
        target=end_with_parent, args=(frames, parent, directory, patience, alone), daemon=True
    ).start()
    end = end_in_order(os.getpid(), patience)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end)
    # Python names shared memory by these two, "/psm_" and 14 characters
    names = f"/{shared_memory_prefix(os.getpid())}"
    vars(shared_memory).update(_SHM_NAME_PREFIX=names, _SHM_SAFE_NAME_LENGTH=len(names) + 8)
    arguments = {
        "file": directory / MODEL_FILE,
        "layers": layers,
        "skip": skip,
        "limit": limit,
        "input_shape": tuple(others[:3]),
        "options": others[3:],
    }
    try:
        try:
            serve(frames, arguments, make)
        except HardwareUnavailable as error:
            frames.send(("unavailable", str(error)))
        except Exception as error:  # whatever it was: the parent, which waits, names it
            traceback.print_exc()
            frames.send(("error", failure(limit, error)))
        signal.pause()  # the parent ends this process, or `end_with_parent` does
    except Terminated:
        if alone.is_set():
            leave_nothing(directory)
        end(signal.SIGTERM, None)


if __name__ == "__main__":
    work(make_network)
