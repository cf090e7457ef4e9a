"""What a worker process does: it holds Lava (or a board) and answers its parent.

It is started and ended by a guard (`guard`), whose session it shares with Lava's processes;
they die with it. What Lava prints goes to its stdout and stderr: a log file.

Messages are tuples over a socket. From the parent: `("run", driven, batch, steps, record)`. From
here: `("ready",)` once Lava is imported; for each run `("started", freshly compiled)`, some
`("done", samples)` and `("result", arrays, MiB held, what was measured)`; or `("error", text)`
where another worker would fail alike, `("lost", text)` where one of Lava's processes was killed,
`("unavailable", text)` where there is no board.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from multiprocessing import shared_memory
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from neurorobust.backends.hosted.exchange import Array
from neurorobust.backends.hosted.frames import Frames
from neurorobust.backends.hosted.guard import die_with, shared_memory_prefix
from neurorobust.errors import HardwareUnavailable

MODEL_FILE = "model.net"
FAILURE_FILE = "failure.txt"  # in the worker's directory: the first error in one of Lava's models
_MIB = 1 << 20


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
        """See `backends.lava.network.LavaNetwork.run`."""
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


def failure(limit: int, error: BaseException | None = None) -> str | None:
    """What went wrong: in one of Lava's processes, which goes first, or here."""
    text = None if error is None else f"{type(error).__name__}: {error}".rstrip(": ")
    with contextlib.suppress(FileNotFoundError):
        text = Path(FAILURE_FILE).read_text(encoding="utf-8", errors="replace")
    if text is not None and ("MemoryError" in text or "Cannot allocate memory" in text):
        allowed = f"{limit} MiB a process beyond its start" if limit else "the machine's"
        text = f"out of memory (limit: {allowed}): {text}"
    return text


class Terminated(BaseException):
    """SIGTERM, where there is something to put in order first."""


def raise_once() -> Callable[[int, FrameType | None], None]:
    """A handler that raises `Terminated` when it is first called."""
    raised = False

    def handler(_number: int, _frame: FrameType | None) -> None:
        nonlocal raised
        if not raised:
            raised = True
            raise Terminated

    return handler


def bind_children(frames: Frames) -> None:
    """Every process that is forked from here on hangs up, and dies with the one that forked it.

    The kernel ties it to the *thread* that forked: Lava's processes are forked by the main one.
    """
    parent = os.getpid()

    def note() -> None:
        nonlocal parent
        parent = os.getpid()

    def bind() -> None:
        frames.close()  # else the parent misses the worker's end
        die_with(parent)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    os.register_at_fork(before=note, after_in_child=bind)


def work(make: Make, orderly: bool = False) -> None:
    """Be a worker. Arguments: file descriptor, layers, skip, MiB limit, C, H, W, options.

    Args:
        make: a network for the worker.
        orderly: a SIGTERM gives a board back before the worker ends.
    """
    fd, layers, skip, limit, *others = (int(argument) for argument in sys.argv[1:])
    frames = Frames(socket.socket(fileno=fd))
    bind_children(frames)
    directory = Path.cwd()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if orderly:
        signal.signal(signal.SIGTERM, raise_once())
    # Python names shared memory by these two, "/psm_" and 14 characters
    names = f"/{shared_memory_prefix(os.getsid(0))}"
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
        signal.pause()  # the guard ends this process
    except Terminated:
        os._exit(0)
