"""A small network on disk, with its card, and its data."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from neurorobust import netx
from neurorobust.cli import app
from neurorobust.netx import DenseLayer, InputLayer, NetxModel, Neuron
from neurorobust.records import Card, EncoderCard


def _one(value: int) -> Any:
    return np.array([value])


@pytest.fixture(scope="session")
def small_model() -> NetxModel:
    """16-12-4 with an on-chip input layer."""
    rng = np.random.default_rng(5)
    neuron = Neuron(_one(1024), _one(128), _one(64))
    return NetxModel(
        (1, 4, 4),
        (
            InputLayer(0, (1, 4, 4), Neuron(_one(4096), _one(0), _one(64)), 64.0, 0.0),
            netx.FlattenLayer(1, (16, 1, 1)),
            DenseLayer(2, (12, 1, 1), neuron, 2 * rng.integers(-40, 50, (12, 16))),
            DenseLayer(3, (4, 1, 1), neuron, 2 * rng.integers(-40, 50, (4, 12))),
        ),
    )


@pytest.fixture
def workshop(tmp_path: Path, small_model: NetxModel) -> Path:
    """A folder with model.net, card.json, data.npz, spikes.npz and drive.npz."""
    model = netx.write(small_model, tmp_path / "model.net")
    rng = np.random.default_rng(1)
    x = rng.random((24, 1, 4, 4), dtype=np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=rng.integers(0, 4, 24))
    card = Card(
        name="small",
        dataset=f"npz:{tmp_path / 'data.npz'}",
        encoder=EncoderCard(kind="drive", mean=0.0, std=1.0),
        steps=8,
        readout="count",
        sha256=model.sha256,
    )
    (tmp_path / "card.json").write_text(card.model_dump_json())
    np.savez(tmp_path / "spikes.npz", spikes=(rng.random((6, 1, 4, 4, 9)) < 0.3).astype(np.uint8))
    drive = rng.integers(0, 64, (6, 1, 4, 4)).astype(np.int32)
    np.savez(tmp_path / "drive.npz", drive=drive, steps=np.int64(9))
    return tmp_path


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command line in this process."""

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["neurorobust", *map(str, arguments)])
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return call


@pytest.fixture
def program() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command line as a process of its own."""

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "neurorobust", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )

    return call


@pytest.fixture
def told(command: Callable[..., Result], capfd: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """`answer`, in this process: where starting one is not the point."""

    def call(*arguments: object) -> Any:
        result = command(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout + capfd.readouterr().out)  # some guard the real stdout

    return call


@pytest.fixture
def answer(program: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., Any]:
    """Run a command with `--json` and parse the whole of its stdout."""

    def call(*arguments: object) -> Any:
        result = program(*arguments, "--json")
        assert result.stdout, result.stderr
        return json.loads(result.stdout)

    return call
