"""Whenever a parent is killed, its workers' guards end everything, and end themselves last."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurorobust import netx
from neurorobust.backends.hosted.process import WorkerLost, WorkerProcess, new_directory
from neurorobust.backends.lava.backend import require_lava
from neurorobust.errors import UnavailableError
from neurorobust.netx.model import DenseLayer, NetxModel, Neuron

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc, prctl")

ALONE = """
import os, signal, time
from multiprocessing import shared_memory
kept = shared_memory.SharedMemory(f"neurorobust-{os.getsid(0)}-kept", create=True, size=8)
open("ready", "w").write(str(os.getpid()))
signal.pause()
"""
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for far in (False, True):  # a child, and one that left the session and lost its parent
    if os.fork() == 0:
        if far:
            os.setsid()
            if os.fork():
                os._exit(0)
        open(f"far-{far}", "w").write(str(os.getpid()))
        time.sleep(600)
        os._exit(0)
"""


def start(children: bool) -> tuple[WorkerProcess, Path]:
    """A worker that is ready: a program of the test's, with children or without."""
    directory = new_directory()
    (directory / "program.py").write_text(STUBBORN + ALONE if children else ALONE)
    worker = WorkerProcess(directory, [], module="program")
    names = ["ready", "far-False", "far-True"] if children else ["ready"]
    while not all(number(directory / name) for name in names):
        assert worker._process.poll() is None
        time.sleep(0.01)
    return worker, directory


def number(path: Path) -> int:
    """The process id in a file; 0 where none is in it yet."""
    return int(path.read_text() or "0") if path.is_file() else 0


def runs(process: int) -> bool:
    """Whether it is there and has not ended."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


@linux
@pytest.mark.parametrize("how", ["hang up", "SIGTERM", "the worker is killed", "end"])
def test_processes_that_ignore_sigterm_or_left_the_session_are_ended(
    how: str, remains: Any
) -> None:
    worker, directory = start(children=True)
    program, *far = (number(directory / name) for name in ("ready", "far-False", "far-True"))
    assert remains.segments(worker.pid)
    assert all(map(runs, far))
    if how == "SIGTERM":
        os.kill(worker.pid, signal.SIGTERM)
    elif how == "the worker is killed":
        os.kill(program, signal.SIGKILL)
        with pytest.raises(WorkerLost, match=r"^the worker ended \(SIGKILL; out of memory\?\)$"):
            worker.receive(time.monotonic() + 60)
        assert (directory / "lava.log").is_file()  # for the parent, which may want it
    if how in ("hang up", "SIGTERM"):
        if how == "hang up":
            worker._lifeline.shutdown(socket.SHUT_WR)
        while worker._process.poll() is None:
            time.sleep(0.01)
    else:
        worker.end()
    assert not any(map(runs, [*far, program]))
    remains.assert_none(worker.pid)
    worker.end()


@linux
def test_a_guard_that_is_killed_takes_the_worker_with_it(remains: Any) -> None:
    worker, directory = start(children=False)
    program = number(directory / "ready")
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(WorkerLost, match=r"^the worker ended \(SIGKILL"):
        worker.receive(time.monotonic() + 60)
    worker.end()
    assert not runs(program)
    remains.assert_none(worker.pid)


@pytest.mark.slow
@pytest.mark.lava
@pytest.mark.timeout(3600)
def test_parents_killed_at_random_moments_leave_nothing(remains: Any, tmp_path: Path) -> None:
    """NEUROROBUST_KILLS says how many."""
    try:
        require_lava()
    except UnavailableError as error:
        pytest.skip(str(error))
    kills = int(os.environ.get("NEUROROBUST_KILLS", "10"))
    rng = np.random.default_rng(0)
    cell = Neuron(*(np.array(value) for value in (1024, 256, 60)))
    layers = (
        DenseLayer(0, (6, 1, 1), cell, rng.integers(-30, 60, (6, 8)) * 2),
        DenseLayer(1, (3, 1, 1), cell, rng.integers(-30, 60, (3, 6)) * 2),
    )
    netx.write(NetxModel((8, 1, 1), layers), tmp_path / "model.net")
    program = Path(__file__).with_name("killed_parents.py")
    done = subprocess.run(
        [sys.executable, program, tmp_path / "model.net", remains.temporary, str(kills), "0"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == kills
    assert any(one["before"] > 8 for one in found)  # more than guards and their workers
    for one in found:
        assert (one["processes"], one["segments"], one["files"]) == ([], [], []), one
