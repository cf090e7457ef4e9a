"""The conformance suite itself: green on real targets, red where it must be."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from neurorobust import files
from neurorobust.models import shipped_folder

ROOT = Path(__file__).resolve().parents[1]


def _suite(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "hw_tests", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.mark.lava
def test_lava_is_green() -> None:
    pytest.importorskip("lava")
    result = _suite("--target", "lava", "--model", "digits-mlp")
    assert result.returncode == 0, result.stdout
    assert "8 passed" in result.stdout
    assert "skipped" not in result.stdout


def test_an_unknown_target_is_never_green() -> None:
    result = _suite("--target", "tpu")
    assert result.returncode == 2
    assert "backend 'tpu': unknown, known: engine" in result.stdout + result.stderr


def test_one_wrong_golden_spike_is_red(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(shipped_folder() / "digits-mlp", folder)
    arrays = files.read_npz(folder / "golden.npz")
    arrays["spikes"][3, 2, 5] ^= 1
    files.write_npz(folder / "golden.npz", arrays)
    result = _suite("--model", str(folder / "model.net"))
    assert result.returncode == 1
    assert "test_golden_spikes_of_every_layer" in result.stdout
    assert "1 failed, 7 passed" in result.stdout
