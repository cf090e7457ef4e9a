"""A program: parents of Lava's workers, each killed at a random moment, and what they left.

    python killed_parents.py NETWORK FOLDER KILLS SEED

A parent is a fork of this program, so that none has to import torch again; its workers are
interpreters of their own, as ever. A line of JSON for each: the moment, and what was there when
the guard had ended (see `neurorobust.backends.hosted.guard`): processes, shared memory, files.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from neurorobust import netx
from neurorobust.backends.hosted.guard import (
    SHARED_MEMORY,
    adopt_orphans,
    shared_memory_prefix,
)
from neurorobust.backends.lava.backend import LavaBackend

TAG = "NEUROROBUST_KILLED_PARENT"
START, RUN = 25.0, 1.5  # seconds within which a parent is killed: from its start, from its run


def be_a_parent(network: Path, temporary: Path, tag: str, running: int) -> None:
    """Run Lava until this is killed; say when its first sample is done."""
    os.environ.update({TAG: tag, "TMPDIR": str(temporary)})
    tempfile.tempdir = str(temporary)
    model = netx.read(network)
    backend = LavaBackend(
        model, timeout=600, workers=2, on_sample=lambda *_: os.write(running, b".")
    )
    while True:
        backend.run(torch.ones((64, *model.input_shape, 50), dtype=torch.uint8))


def alive(tag: str) -> tuple[dict[int, int], bool]:
    """What runs of a parent's workers: session by process id; and whether a guard is among them.

    Orphans are given to this program. One without the tag will be a guard: it has not begun yet.
    """
    found, guarded = {}, False
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        process, parent, session = int(folder.name), int(words[1]), int(words[3])
        has_tag = f"{TAG}={tag}".encode() in environment
        if words[0] not in "ZX" and (has_tag or parent == os.getpid()):
            found[process] = session
            guarded |= process == session or not has_tag
    return found, guarded


def kill_one(network: Path, folder: Path, tag: str, draw: random.Random) -> dict[str, Any]:
    """Start a parent, kill it, and see what is left once the guards have ended."""
    temporary = folder / tag
    temporary.mkdir()
    heard, running = os.pipe()
    parent = os.fork()
    if parent == 0:
        os.close(heard)
        be_a_parent(network, temporary, tag, running)
    os.close(running)
    if draw.random() < 0.5:
        when, seconds = "starting", draw.uniform(0, START)
    else:
        when, seconds = "running", draw.uniform(0, RUN)
        select.select([heard], [], [])
    time.sleep(seconds)
    before, _ = alive(tag)
    os.kill(parent, signal.SIGKILL)
    killed = time.monotonic()
    os.waitpid(parent, 0)
    os.close(heard)
    seen, guarded = alive(tag)
    while guarded:
        time.sleep(0.01)
        left, guarded = alive(tag)
        seen.update(left)
    left, _ = alive(tag)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    return {
        "when": when,
        "seconds": round(seconds, 2),
        "before": len(before) - 1,
        "ended_after": round(time.monotonic() - killed, 2),
        "processes": [Path(f"/proc/{process}/cmdline").read_text() for process in left],
        "segments": [
            path.name
            for session in {*before.values(), *seen.values()}
            for path in SHARED_MEMORY.glob(f"{shared_memory_prefix(session)}*")
        ],
        "files": [str(path.relative_to(folder)) for path in temporary.rglob("*")],
    }


def main() -> None:
    network, folder, kills, seed = sys.argv[1:5]
    adopt_orphans()
    for number in range(int(kills)):
        draw = random.Random(f"{seed}/{number}")
        print(
            json.dumps(kill_one(Path(network), Path(folder), f"{seed}-{number}", draw)), flush=True
        )


if __name__ == "__main__":
    main()
