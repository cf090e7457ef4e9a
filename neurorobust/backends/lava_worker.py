"""The process that holds Lava: `python -m neurorobust.backends.lava_worker`.

It leads its own session, so that Lava's processes can be ended with it as one group, and ends
itself when the parent is gone. Messages are tuples over a socket. From the parent: `("run",
driven, batch, steps, record)`; from here `("ready", None)` once Lava is imported, then for each
run some `("done", samples)` and one `("result", arrays)`; or `("error", text)`. What Lava prints
goes to this process's stdout and stderr: a log file.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing import resource_tracker, shared_memory
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

from neurorobust.backends.lava_network import LavaNetwork

MODEL_FILE = "model.net"
SHARED_MEMORY = Path("/dev/shm")
_GRACE = 3.0  # seconds that Lava's processes get to end


def shared_memory_prefix(worker: int) -> str:
    """How the names of a worker's shared memory begin: it is found when nothing lives."""
    return f"neurorobust-{worker}-"


def remove_shared_memory(worker: int) -> None:
    """Unlink what a worker's group left in /dev/shm."""
    for segment in SHARED_MEMORY.glob(f"{shared_memory_prefix(worker)}*"):
        with contextlib.suppress(FileNotFoundError):
            segment.unlink()


def serve(connection: Connection, arguments: dict[str, Any]) -> None:
    """Answer messages until the parent hangs up."""
    networks: dict[bool, LavaNetwork] = {}
    import lava.lib.dl.netx.hdf5  # noqa: F401 (slow: done before "ready")

    connection.send(("ready", None))
    while True:
        try:
            _, driven, batch, steps, record = connection.recv()
        except EOFError:
            return
        if driven not in networks:
            skip = 0 if driven else arguments["skip"]
            networks[driven] = LavaNetwork(
                arguments["file"], arguments["layers"], arguments["input_shape"], driven, skip
            )
        result = networks[driven].run(
            batch, steps, record, lambda samples: connection.send(("done", samples))
        )
        connection.send(("result", result))


def end_with_parent(connection: Connection, parent: int, directory: Path) -> None:
    """Wait until the parent hangs up or dies, then end the whole group and leave nothing behind."""
    poll = select.poll()
    poll.register(connection.fileno(), 0)  # hang-up is always reported
    while not poll.poll(1000) and os.getppid() == parent:
        pass
    remove_shared_memory(os.getpid())
    shutil.rmtree(directory, ignore_errors=True)
    os.killpg(0, signal.SIGTERM)
    time.sleep(2 * _GRACE)
    os.killpg(0, signal.SIGKILL)


def end_in_order(leader: int) -> Callable[[int, FrameType | None], None]:
    """A handler of SIGTERM: Lava's processes end at once, the worker collects them, then ends."""
    tracker = resource_tracker.getfd()

    def handler(number: int, _frame: FrameType | None) -> None:
        if os.getpid() == leader:
            signal.signal(number, signal.SIG_IGN)
            os.killpg(0, number)
            if tracker is not None:
                os.close(tracker)  # the resource tracker ends when nobody holds its pipe
            deadline = time.monotonic() + _GRACE
            with contextlib.suppress(ChildProcessError):
                while time.monotonic() < deadline:
                    if os.waitpid(-1, os.WNOHANG) == (0, 0):
                        time.sleep(0.01)
        os._exit(0)

    return handler


def main() -> None:
    """Entry point; arguments: file descriptor, parent's pid, layers, skip, C, H, W."""
    fd, parent, layers, skip, *input_shape = (int(argument) for argument in sys.argv[1:])
    connection = Connection(fd)
    os.register_at_fork(after_in_child=connection.close)  # else the parent misses this one's end
    directory = Path.cwd()
    threading.Thread(
        target=end_with_parent, args=(connection, parent, directory), daemon=True
    ).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end_in_order(os.getpid()))
    # Python names shared memory by these two, "/psm_" and 14 characters
    names = f"/{shared_memory_prefix(os.getpid())}"
    vars(shared_memory).update(_SHM_NAME_PREFIX=names, _SHM_SAFE_NAME_LENGTH=len(names) + 8)
    arguments = {
        "file": directory / MODEL_FILE,
        "layers": layers,
        "skip": skip,
        "input_shape": tuple(input_shape),
    }
    try:
        serve(connection, arguments)
    except Exception as error:
        traceback.print_exc(limit=-1)
        connection.send(("error", f"{type(error).__name__}: {error}"))
        connection.poll(None)  # the parent ends this process


if __name__ == "__main__":
    main()
