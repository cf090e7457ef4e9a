"""The process that runs a network in Lava: a program for `backends.hosted.guard`."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from typing import Any

from neurorobust.backends.hosted.frames import Frames
from neurorobust.backends.hosted.guard import ending
from neurorobust.backends.hosted.serving import Served, failure, work
from neurorobust.backends.lava.network import LavaNetwork


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


if __name__ == "__main__":
    work(make_network)
