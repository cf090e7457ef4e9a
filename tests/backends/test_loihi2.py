"""The path to a Loihi 2 board, above the private package: against a stand-in of its surface.

The stand-in (`tests/standin`) forwards to Lava's CPU models; nothing here was seen on a board.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neurorobust
from neurorobust.backends.lava.backend import require_lava
from neurorobust.backends.loihi2.backend import UNTESTED, Loihi2Backend
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.errors import BackendError, HardwareUnavailable, ModelFileError, UnavailableError
from neurorobust.netx.model import (
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    NetxModel,
    Neuron,
    RecurrentLayer,
)
from neurorobust.types import Inputs, Run
from tests.build import cuba

try:
    require_lava()
except UnavailableError as error:
    pytest.skip(str(error), allow_module_level=True)
pytestmark = pytest.mark.lava

SINFO = """#!/bin/sh
case "$*" in
  *-N*) echo "ncl-og-05 idle"; echo "ncl-og-06 down*" ;;
  *) echo "oheogulch up" ;;
esac
"""


def dense() -> NetxModel:
    """Biased, without delays: the chip's resets keep samples apart."""
    rng = np.random.default_rng(0)
    return NetxModel(
        (8, 1, 1),
        (
            DenseLayer(
                0,
                (6, 1, 1),
                cuba(60),
                rng.integers(-30, 60, (6, 8)) * 2,
                rng.integers(-5, 40, 6),
            ),
            DenseLayer(1, (3, 1, 1), cuba(50), rng.integers(-30, 60, (3, 6)) * 2),
        ),
    )


def conv() -> NetxModel:
    rng = np.random.default_rng(1)
    own = Neuron(np.array(4096), np.array(0), np.array(200))
    return NetxModel(
        (2, 4, 3),
        (
            InputLayer(0, (2, 4, 3), own),
            ConvLayer(1, (2, 3, 2), cuba(60), rng.integers(-30, 60, (2, 2, 2, 2)) * 2),
            FlattenLayer(2, (12, 1, 1)),
            DenseLayer(3, (3, 1, 1), cuba(50), rng.integers(-30, 60, (3, 12)) * 2),
        ),
    )


def keeping(bias: int = 0) -> NetxModel:
    """Delays and a recurrent layer: loaded anew for each sample."""
    rng = np.random.default_rng(2)
    return NetxModel(
        (8, 1, 1),
        (
            DenseLayer(0, (6, 1, 1), cuba(60), rng.integers(-20, 60, (6, 8)) * 2, np.full(6, bias)),
            DenseLayer(
                1,
                (5, 1, 1),
                cuba(60),
                rng.integers(-20, 60, (5, 6)) * 2,
                delay=rng.integers(0, 5, (5, 6)),
            ),
            RecurrentLayer(
                2,
                (4, 1, 1),
                cuba(60),
                rng.integers(-20, 60, (4, 5)) * 2,
                rng.integers(-30, 30, (4, 4)) * 2,
            ),
        ),
    )


def events(model: NetxModel, batch: int, steps: int = 9) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (batch, *model.input_shape, steps)
    return (torch.rand(shape, generator=generator) < 0.4).to(torch.uint8)


def assert_exact(
    backend: Loihi2Backend, inputs: Inputs | torch.Tensor, record: tuple[int, ...]
) -> Run:
    expected = ReferenceBackend(backend.model).run(inputs, record)
    run = backend.run(inputs, record)
    assert expected.spikes.any()
    assert torch.equal(run.spikes, expected.spikes)
    assert torch.equal(run.membrane, expected.membrane)
    assert run.layers.keys() == expected.layers.keys()
    for number, trace in expected.layers.items():
        for name in ("spikes", "u", "v"):
            assert torch.equal(getattr(run.layers[number], name), getattr(trace, name)), name
    return run


@pytest.fixture
def board(remains: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`board(latency=..., fail=...)` puts the stand-in in place, in this process's children too."""
    standin = Path(__file__).parents[1] / "standin"
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "sinfo").write_text(SINFO)
    (tools / "sinfo").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(standin), prepend=os.pathsep)
    for name in ("SLURM", "NOSLURM", "LOIHI_GEN", "PARTITION", "NXSDKHOST", "HOST_BINARY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BOARD", "ncl-og-05")
    monkeypatch.syspath_prepend(str(standin))
    import loihi2_standin

    before = list(sys.meta_path)

    def place(**settings: Any) -> Path:
        log = tmp_path / "board.log"
        log.write_text("")
        monkeypatch.setenv("LOIHI2_STANDIN", json.dumps({**settings, "log": str(log)}))
        sys.meta_path[:] = before
        loihi2_standin.install()
        return log

    yield place
    sys.meta_path[:] = before
    for name in [*loihi2_standin.MODULES, "loihi2_standin"]:
        sys.modules.pop(name, None)


def test_spikes_states_and_measurements_through_late_adapters(board: Any, remains: Any) -> None:
    log = board(latency=[2, 3, 4])
    with Loihi2Backend(dense(), timeout=120) as backend:
        assert_exact(backend, events(backend.model, 4), (0, 1))
        told = backend.measured()
    assert told["latency_steps"] == {"input": 2, "output": 3, "state": 4}
    assert told["reset_interval"] == 32  # 9 + 2 layers + 2 + 4 + 1, the next power of two
    assert told["board"] == "Loihi 2 N3B3, ncl-og-05 (slurm)"
    assert told["note"] == UNTESTED
    profile = told["profile"]
    assert (profile["profiled_steps"], profile["syn_ops"], profile["cores"]) == (128, 30, 3)
    assert profile["total_power_w"] == pytest.approx(0.7)
    assert profile["energy_per_sample_j"] == pytest.approx(0.7 * 2.5e-6 * 32)
    assert log.read_text().split("\n") == ["taken", "given back"] * 2 + [""]
    assert list(remains.temporary.iterdir()) == []


@pytest.mark.slow
def test_conv_by_spikes_and_by_drive(board: Any) -> None:
    board(latency=[1, 0, 1])
    model = conv()
    generator = torch.Generator().manual_seed(3)
    bias = torch.randint(-50, 300, (3, *model.input_shape), generator=generator, dtype=torch.int32)
    with Loihi2Backend(model, timeout=120) as backend:
        assert_exact(backend, events(model, 3), (1, 3))
        assert_exact(backend, Inputs.drive(bias, 12), (0, 3))


@pytest.mark.slow
def test_networks_that_keep_spikes_are_loaded_for_each_sample(board: Any) -> None:
    log = board(latency=[0, 2, 1])
    with Loihi2Backend(keeping(), timeout=120) as backend:
        assert_exact(backend, events(backend.model, 3), ())
    assert log.read_text().count("taken") == log.read_text().count("given back") == 4


def test_spikes_from_before_the_data_are_refused_where_they_would_be_felt(board: Any) -> None:
    board()
    message = r"^layer 0 \(dense\): spikes from its bias before data arrive, and layer 1 \(dense\)"
    with pytest.raises(ModelFileError, match=message):
        Loihi2Backend(keeping(bias=30))


@pytest.mark.parametrize(
    ("fail", "message"),
    [
        ("compile", "compile failed: RuntimeError: no cores left"),
        pytest.param("start", "start failed: RuntimeError: the board is", marks=pytest.mark.slow),
        pytest.param(
            "run", "run failed: .*RuntimeError: the adapter lost the chip", marks=pytest.mark.slow
        ),
        pytest.param(
            "transfer", "transfer failed: RuntimeError: the channel", marks=pytest.mark.slow
        ),
        pytest.param("stop", "stop failed: RuntimeError: the board does", marks=pytest.mark.slow),
    ],
)
def test_a_failure_names_its_step_and_gives_the_board_back(
    fail: str, message: str, board: Any, remains: Any
) -> None:
    log = board(fail=fail)
    backend = Loihi2Backend(dense(), timeout=120)
    with pytest.raises(BackendError, match=f"^loihi2: BoardError: {message}.*; Lava's log: "):
        backend.run(events(backend.model, 2))
    assert backend.measured()["batches_retried"] == 0
    taken = log.read_text().count("taken")
    assert taken == (fail in ("run", "transfer", "stop"))
    assert log.read_text().count("given back") >= (taken if fail != "run" else 0)
    assert list(remains.temporary.iterdir()) == []


@pytest.mark.slow
def test_a_board_that_hangs_is_given_up_in_time(board: Any, remains: Any) -> None:
    board(fail="hang")
    backend = Loihi2Backend(dense(), timeout=10)
    with pytest.raises(BackendError, match=r"^loihi2: no answer within 10 s, twice"):
        backend.run(events(backend.model, 2))
    assert list(remains.temporary.iterdir()) == []


@pytest.mark.slow
def test_missing_profilers_are_listed_and_the_run_goes_on(board: Any) -> None:
    board(without=["Loihi2Power"])
    with Loihi2Backend(dense(), timeout=120) as backend:
        assert_exact(backend, events(backend.model, 2), ())
        profile = backend.measured()["profile"]
    assert profile["missing"] == "Loihi2Power (AttributeError)"
    assert "total_power_w" not in profile
    assert profile["time_per_step_us"] == 2.5


@pytest.mark.parametrize("name", ["ncl-og-06", "ncl-og-99"])
def test_slurm_says_no(name: str, board: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    board()
    monkeypatch.setenv("BOARD", name)
    backend = Loihi2Backend(dense(), timeout=60)
    words = "is down" if name == "ncl-og-06" else "is not among ncl-og-05, ncl-og-06"
    with pytest.raises(HardwareUnavailable, match=f"probe selection failed.*BOARD={name} {words}"):
        backend.run(events(backend.model, 1))


@pytest.mark.slow
@pytest.mark.parametrize("samples", [200, 2])
def test_the_parents_end_gives_the_board_back(
    samples: int, board: Any, remains: Any, tmp_path: Path
) -> None:
    """Killed in the middle of a run, or idle after it: the worker hears of it and ends in order."""
    log = board()
    script = """
    import sys, time, torch
    from neurorobust import netx
    from neurorobust.backends.loihi2.backend import Loihi2Backend

    model, samples = netx.read(sys.argv[1]), int(sys.argv[2])
    backend = Loihi2Backend(model, timeout=120)
    if samples > 2:
        backend.on_sample = lambda *n: print(*n, flush=True)
    backend.run(torch.ones((samples, *model.input_shape, 200), dtype=torch.uint8))
    print("1 run", flush=True)
    time.sleep(60)
    """
    from neurorobust import netx

    netx.write(dense(), tmp_path / "model.net")
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "model.net"), str(samples)],
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline().startswith("1 ")
        program.kill()
    import time

    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and list(remains.temporary.iterdir()):
        time.sleep(0.1)
    assert list(remains.temporary.iterdir()) == []
    assert log.read_text().split() == ["taken", "given", "back"] * 2


def test_the_command_line_says_where_it_ran(board: Any, tmp_path: Path) -> None:
    board(latency=[1, 1, 1])
    from neurorobust import netx

    netx.write(dense(), tmp_path / "model.net")
    np.savez(tmp_path / "in.npz", spikes=events(dense(), 2).numpy())
    done = subprocess.run(
        [sys.executable, "-m", "neurorobust", "run", "model.net", "--input", "in.npz", "--out",
         "out.npz", "--backend", "loihi2", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["target"] == "a Loihi 2 board, through a path that is untested on hardware"
    assert told["measured"]["latency_steps"] == {"input": 1, "output": 1, "state": 1}
    expected = ReferenceBackend(dense()).run(events(dense(), 2))
    assert np.array_equal(np.load(tmp_path / "out.npz")["spikes"], expected.spikes.numpy())


def test_without_the_private_package_the_command_line_says_so(tmp_path: Path) -> None:
    from neurorobust import netx

    netx.write(dense(), tmp_path / "model.net")
    np.savez(tmp_path / "in.npz", spikes=events(dense(), 2).numpy())
    root = str(Path(neurorobust.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "neurorobust", "run", "model.net", "--input", "in.npz", "--out",
         "out.npz", "--backend", "loihi2"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root, "BOARD": "ncl-og-05"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("neurorobust: loihi2: probe compiler (lava.magma.compiler.")
    assert done.stderr.rstrip().endswith("BOARD=ncl-og-05")
    assert not (tmp_path / "out.npz").exists()
