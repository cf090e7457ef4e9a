"""What is asked for a board, in which order, and what is said when something is missing."""

from __future__ import annotations

import importlib.machinery
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from neurorobust.backends.loihi2 import calibration as calibration
from neurorobust.backends.loihi2.calibration import Latency
from neurorobust.backends.loihi2.probe import (
    ADAPTERS,
    COMPILER,
    PROFILER,
    Board,
    probe,
    verdict,
)
from neurorobust.errors import BadInput, HardwareUnavailable, UnavailableError

STEPS = [COMPILER, ADAPTERS, PROFILER]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """All private modules, empty; and Lava's public `loihi` where Lava is not installed."""
    for name in STEPS:
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    loihi = types.ModuleType("lava.utils.loihi")
    loihi.is_installed = lambda: False  # type: ignore[attr-defined]
    for name in ("lava", "lava.utils"):
        package = types.ModuleType(name)
        package.__path__ = []
        monkeypatch.setitem(sys.modules, name, package)
    monkeypatch.setitem(sys.modules, "lava.utils.loihi", loihi)
    sys.modules["lava.utils"].loihi = loihi  # type: ignore[attr-defined]


@pytest.mark.parametrize("missing", range(4))
def test_each_probe_names_itself_and_what_is_needed(
    missing: int, here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [
        "probe compiler (lava.magma.compiler.subcompilers.nc.ncproc_compiler) failed; needed: the "
        "Lava extension for Loihi, which Intel gives to members of its research community",
        "probe adapters (lava.proc.embedded_io) failed",
        "probe lava.utils.loihi.is_installed() failed",
        "probe host failed; needed: NXSDKHOST=<address> for a board on the network, or Slurm: "
        "there is no `sinfo` here",
    ]
    for name in STEPS[missing:]:
        monkeypatch.setitem(sys.modules, name, None)
    given = {"PATH": "/nowhere", "PARTITION": "oheogulch", "SLURM": "1", "HOME": "/root"}
    with pytest.raises(HardwareUnavailable) as caught:
        probe(given)
    assert str(caught.value).startswith(f"loihi2: {words[missing]}")
    assert str(caught.value).endswith("; environment: SLURM=1, PARTITION=oheogulch")
    assert isinstance(caught.value, UnavailableError)
    assert caught.value.exit_code == 2
    assert verdict(given) == str(caught.value)


def test_the_environment_chooses_the_board(here: None, tmp_path: Path) -> None:
    (tmp_path / "sinfo").write_text("#!/bin/sh\n")
    (tmp_path / "sinfo").chmod(0o755)
    path = {"PATH": str(tmp_path)}
    assert probe(path) == Board("slurm")
    assert probe({**path, "PARTITION": "p", "LOIHI_GEN": "N3C1"}) == Board("slurm", "", "p", "N3C1")
    assert probe({**path, "BOARD": "b"}) == Board("slurm", "b")
    ethernet = {"NXSDKHOST": "10.0.0.7", "HOST_BINARY": "/opt/server"}
    assert probe(ethernet) == Board("ethernet", "10.0.0.7", "", "N3B3", "/opt/server")
    assert probe({**path, **ethernet, "SLURM": "1"}) == Board("slurm")
    assert verdict(ethernet) == "Loihi 2 N3B3, 10.0.0.7 (ethernet) can be asked for"
    with pytest.raises(BadInput, match=r"LOIHI_GEN=N9: unknown, known: N2A2, N3B2, N3B3, N3C1"):
        probe({**path, "LOIHI_GEN": "N9"})
    with pytest.raises(BadInput, match="BOARD=b and PARTITION=p: give one of them"):
        probe({**path, "BOARD": "b", "PARTITION": "p"})


def answers(late: Latency) -> tuple[np.ndarray, np.ndarray]:
    """What the calibration's layer sends back, by hand: column c is what was there after step c+1,
    so many steps late; the neurons see input column k in column k + 1, so many steps late."""
    spikes, voltage = (np.zeros((3, calibration.STEPS), dtype=np.int32) for _ in range(2))
    seen = calibration.IMPULSE + 1 + late.input
    spikes[0, seen + late.output] = 1
    for column in range(calibration.STEPS - late.state):
        since = (column - 1) % calibration.INTERVAL  # reset before column 1 for no latency
        voltage[1, column + late.state] = 128 if seen <= column <= 2 * calibration.INTERVAL else 0
        voltage[2, column + late.state] = 64 * (since + 1)
    return spikes, voltage


@pytest.mark.parametrize("late", [(0, 0, 1), (2, 3, 1), (31, 0, 20), (0, 31, 1), (5, 5, 0)])
def test_calibration_finds_every_latency(late: tuple[int, int, int]) -> None:
    assert calibration.latency(*answers(Latency(*late))) == Latency(*late)


def test_calibration_refuses_what_is_no_impulse() -> None:
    spikes, voltage = answers(Latency(1, 1, 1))
    with pytest.raises(ValueError, match="0 spikes came back for one impulse within 192 steps"):
        calibration.latency(0 * spikes, voltage)
    with pytest.raises(ValueError, match="no state came back"):
        calibration.latency(spikes, 0 * voltage)
    with pytest.raises(ValueError, match="2 spikes came back"):
        calibration.latency(np.roll(spikes, 1, 1) | spikes, voltage)
    with pytest.raises(ValueError, match="earlier than the impulse"):
        calibration.latency(np.roll(spikes, -9, 1), voltage)


def test_the_interval_is_a_power_of_two_that_holds_everything() -> None:
    for steps in (1, 9, 16, 31, 32, 100):
        for late in (Latency(0, 0, 1), Latency(3, 7, 2)):
            found = calibration.interval(steps, 3, late)
            assert found & (found - 1) == 0
            assert found > steps + 3 + late.input + max(late.output, late.state)
            assert found // 2 < steps + 3 + late.input + max(late.output, late.state) + 1
