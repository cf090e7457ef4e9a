"""What goes wrong with Lava: recovered from or told in one line, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neurorobust import netx
from neurorobust.backends.hosted.frames import Frames
from neurorobust.backends.lava.backend import LavaBackend, require_lava
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.errors import BackendError, UnavailableError
from neurorobust.netx.model import DenseLayer, NetxModel
from tests.build import cuba

try:
    require_lava()
except UnavailableError as error:
    pytest.skip(str(error), allow_module_level=True)
pytestmark = pytest.mark.lava

LOG = r"; Lava's log: (\S+/neurorobust-\w+\.log)$"


def network(hidden: int = 6) -> NetxModel:
    rng = np.random.default_rng(0)

    first = rng.integers(-30, 60, (hidden, 8)) * 2
    second = rng.integers(-30, 60, (3, hidden)) * 2
    return NetxModel(
        (8, 1, 1),
        (
            DenseLayer(0, (hidden, 1, 1), cuba(60), first),
            DenseLayer(1, (3, 1, 1), cuba(50), second),
        ),
    )


def spikes(batch: int, steps: int = 7) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(batch, 8, 1, 1, steps, generator=generator) < 0.4).to(torch.uint8)


def kill_a_layer(remains: Any, leader: int) -> None:
    """One of the processes that Lava forked for a layer, not its memory manager."""
    victims = [p for p in remains.group(leader) if p.ppid() != leader and not p.children()]
    victims[-1].kill()


@pytest.fixture
def backend(remains: Any) -> Any:
    with LavaBackend(network(), timeout=120, workers=1) as backend:
        backend.run(spikes(1))
        yield backend
    assert list(remains.temporary.iterdir()) == []


def test_killed_processes_are_replaced_and_the_run_completes(
    backend: LavaBackend, remains: Any, caplog: pytest.LogCaptureFixture
) -> None:
    expected = ReferenceBackend(backend.model).run(spikes(9))
    assert expected.spikes.any()
    for count, who in enumerate(("the worker ended (SIGKILL", "one of Lava's processes ended")):
        leader = remains.worker_of(backend)
        if count == 0:
            os.kill(leader, signal.SIGKILL)
        else:
            kill_a_layer(remains, leader)
        run = backend.run(spikes(9))
        assert torch.equal(run.spikes, expected.spikes)
        assert torch.equal(run.membrane, expected.membrane)
        assert backend.measured()["batches_retried"] == count + 1
        assert backend.measured()["workers_started"] == count + 2
        assert remains.group(leader) == []
        assert remains.segments(leader) == []
        assert who in caplog.text
        assert caplog.text.count("once more with a new worker") == count + 1


@pytest.mark.slow
def test_a_worker_that_dies_twice_is_an_error(
    backend: LavaBackend, remains: Any, tmp_path: Path
) -> None:
    killed = []

    def kill(done: int, total: int) -> None:
        (leader,) = (worker.pid for worker in backend._pool.workers)
        killed.append(leader)
        os.kill(leader, signal.SIGKILL)

    backend.on_sample = kill
    with pytest.raises(BackendError, match=r"^lava: the worker ended .*, twice" + LOG) as caught:
        backend.run(spikes(200, 40))
    assert len(killed) == 2
    assert "\n" not in str(caught.value)
    for leader in killed:
        remains.assert_none(leader)
    assert len(list((tmp_path / "logs").iterdir())) == 1


@pytest.mark.slow
def test_a_hung_worker_is_retried_and_a_slow_one_is_not(backend: LavaBackend, remains: Any) -> None:
    leader, pool = remains.worker_of(backend), backend._pool
    expected = ReferenceBackend(backend.model).run(spikes(2))
    os.killpg(leader, signal.SIGSTOP)
    begin = pool._begin

    def short_for_the_hung(seat: Any, batches: list[Any]) -> None:
        pool._timeout = 120.0 if seat.worker is None else 1.0
        begin(seat, batches)

    pool._begin = short_for_the_hung
    assert torch.equal(backend.run(spikes(2)).spikes, expected.spikes)
    assert backend.measured()["batches_retried"] == 1
    assert remains.group(leader) == []

    pool._begin, leader = begin, remains.worker_of(backend)

    def time_is_over(done: int, total: int) -> None:
        for seat in pool._seats:
            seat.deadline = 0.0

    backend.on_sample = time_is_over
    message = r"^lava: no answer within 120 s, \d+ samples were done: a longer --timeout may help"
    with pytest.raises(BackendError, match=message + LOG):
        backend.run(spikes(256, 200))
    remains.assert_none(leader)

    backend.timeout = 0.2  # too short to start at all
    with pytest.raises(BackendError, match=r"^lava: no answer within 0\.2 s, twice" + LOG):
        backend.run(spikes(2))
    assert list(remains.temporary.iterdir()) == []


@pytest.mark.slow
def test_a_worker_that_does_not_read_is_a_hung_one(backend: LavaBackend, remains: Any) -> None:
    """More than a socket holds: sending must not wait for ever either."""
    os.killpg(remains.worker_of(backend), signal.SIGSTOP)
    backend.timeout = 1.0
    begun = time.monotonic()
    with pytest.raises(BackendError, match=r"^lava: no answer within 1 s"):
        backend.run(spikes(256, 4000))
    assert time.monotonic() - begun < 30


def test_an_error_in_lava_is_told_once_with_its_traceback_kept(
    backend: LavaBackend, remains: Any
) -> None:
    leader = remains.worker_of(backend)
    wrong = ("run", False, np.zeros((2, 9, 1, 1, 5), np.uint8), 5, [])
    with pytest.raises(BackendError, match=r"^lava: ValueError: could not .*" + LOG) as caught:
        backend._pool.run([wrong], 60.0, lambda *_: None, lambda _: None)
    assert backend.measured()["batches_retried"] == 0
    assert "Traceback (most recent call last)" in Path(str(caught.value).split()[-1]).read_text()
    remains.assert_none(leader)


BROKEN = """
from neurorobust.backends.lava.models import TimedNeuron

step = TimedNeuron.step

def broken(self, clock, sample, at):
    if sample == 1:
        raise ZeroDivisionError("no such\\nneuron")
    step(self, clock, sample, at)

TimedNeuron.step = broken
"""


def test_an_error_in_a_process_of_lava_names_that_error(
    backend: LavaBackend, remains: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lava's own words would be: "1 Exception(s) occurred. See output above for details"."""
    (tmp_path / "sitecustomize.py").write_text(BROKEN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    backend.close()
    message = r"^lava: ZeroDivisionError: no such neuron" + LOG
    with pytest.raises(BackendError, match=message) as caught:
        backend.run(spikes(3))
    assert "in broken" in Path(str(caught.value).split()[-1]).read_text()
    assert backend.measured()["batches_retried"] == 0
    assert list(remains.temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        pytest.param("garbage", "no message begins here", marks=pytest.mark.slow),
        pytest.param("changed", "the checksum is wrong", marks=pytest.mark.slow),
        pytest.param("less", "other arrays than asked for", marks=pytest.mark.slow),
        pytest.param(
            "short", "spikes is uint8 (2, 3, 6), asked for (2, 3, 7)", marks=pytest.mark.slow
        ),
        pytest.param("value", "spikes holds 7, neither 0 nor 1", marks=pytest.mark.slow),
    ],
)
def test_a_corrupted_reply_is_asked_for_again(
    fault: str,
    message: str,
    backend: LavaBackend,
    remains: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (worker,) = backend._pool.workers
    receive, read = Frames.receive, Frames._read
    change = {
        "less": lambda answer: {"spikes": answer["spikes"]},
        "short": lambda answer: {**answer, "spikes": answer["spikes"][..., 1:]},
        "value": lambda answer: {**answer, "spikes": answer["spikes"] | 7},
    }

    def changed(self: Frames, deadline: float | None = None) -> Any:
        reply = receive(self, deadline)
        if reply[0] == "result" and self is worker._frames:
            return (reply[0], change[fault](reply[1]), *reply[2:])
        return reply

    def noisy(self: Frames, size: int, deadline: float | None) -> bytes:
        data, header = read(self, size, deadline), size == 16
        if self is worker._frames and header == (fault == "garbage"):
            return bytes([data[0] ^ 1]) + data[1:]
        return data

    if fault in change:
        monkeypatch.setattr(Frames, "receive", changed)
    else:
        monkeypatch.setattr(Frames, "_read", noisy)
    expected = ReferenceBackend(backend.model).run(spikes(2))
    assert torch.equal(backend.run(spikes(2)).spikes, expected.spikes)
    assert backend.measured()["batches_retried"] == 1
    assert f"lava: corrupted reply: {message}; once more" in caplog.text
    assert remains.group(worker.pid) == []


@pytest.mark.slow
@pytest.mark.parametrize(("hidden", "limit"), [(6, 1), (400_000, 60)])
def test_too_little_memory_is_said_with_the_limit(hidden: int, limit: int, remains: Any) -> None:
    """Too little for Lava to start; enough for that and not for the weights."""
    with LavaBackend(network(hidden), timeout=60, workers=1, memory_limit=limit) as backend:
        message = rf"^lava: out of memory \(limit: {limit} MiB a process beyond its start\): \w+"
        with pytest.raises(BackendError, match=message + ".*" + LOG):
            backend.run(spikes(2))
        assert backend.measured()["batches_retried"] == 0
    assert list(remains.temporary.iterdir()) == []


@pytest.mark.slow
def test_workers_are_replaced_after_so_many_batches(remains: Any) -> None:
    model = network()
    expected = ReferenceBackend(model).run(spikes(3))
    with LavaBackend(model, timeout=120, workers=1, recycle=2) as backend:
        leaders = []
        for _ in range(3):
            assert torch.equal(backend.run(spikes(3)).spikes, expected.spikes)
            leaders += [worker.pid for worker in backend._pool.workers]
        assert backend.measured()["workers_started"] == 2
        assert len(set(leaders)) == 2
    assert list(remains.temporary.iterdir()) == []


@pytest.mark.slow
def test_workers_are_replaced_when_they_grow(remains: Any) -> None:
    model = network()
    with LavaBackend(model, timeout=120, workers=1, growth=-1) as backend:
        backend.run(spikes(1))
        assert backend._pool.workers == []
        backend.run(spikes(1))
        assert backend.measured()["workers_started"] == 2


INTERRUPTED = """
import sys, torch
from neurorobust import netx
from neurorobust.backends.lava.backend import LavaBackend

model = netx.read(sys.argv[1])
backend = LavaBackend(model, timeout=120, workers=2)
backend.run(torch.ones((4, *model.input_shape, 3), dtype=torch.uint8))
print(*(worker.pid for worker in backend._pool.workers), flush=True)
backend.run(torch.ones((4000, *model.input_shape, 100), dtype=torch.uint8))
print("not reached", flush=True)
"""


def test_ctrl_c_ends_all_workers_at_once(remains: Any, tmp_path: Path) -> None:
    netx.write(network(), tmp_path / "model.net")
    (tmp_path / "script.py").write_text(textwrap.dedent(INTERRUPTED))
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "model.net")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        leaders = [int(pid) for pid in program.stdout.readline().split()]
        assert len(leaders) == 2
        time.sleep(0.3)
        assert all(len(remains.group(leader)) > 3 for leader in leaders)
        program.send_signal(signal.SIGINT)
        output, errors = program.communicate(timeout=300)
    assert output == ""
    assert errors.strip().endswith("KeyboardInterrupt")
    for leader in leaders:
        remains.assert_none(leader)
