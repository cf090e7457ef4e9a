"""Every benchmark runs, quickly, and writes its document. No figure is judged here."""

from __future__ import annotations

import json
import math
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
COMMON = {"machine", "versions", "load_average", "threads", "turns", "command", "ratios", "quick"}


def run(name: str, tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """The document that a script writes with `--quick`."""
    out = tmp_path / "out.json"
    options = ["--quick", "--threads", "1", "--turns", "1", "--json", str(out), *arguments]
    command = [sys.executable, str(FOLDER / f"{name}.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip(), "a table"
    document: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    assert document["benchmark"] == name
    assert document.keys() >= COMMON
    assert document["quick"] is True
    assert document["threads"] == 1
    assert document["machine"]["processor"]
    assert document["versions"]["torch"]
    assert document["ratios"]
    for ratio in document["ratios"].values():
        value = ratio["ratio"] if isinstance(ratio, dict) else ratio
        assert math.isfinite(value)
        assert value > 0
    return document


def test_scaling(tmp_path: Path) -> None:
    document = run("scaling", tmp_path)
    assert document["points"].keys() == {"batch", "density"}
    assert all(row["peak_mib"] >= 0 for row in document["memory"])


def test_roofline(tmp_path: Path) -> None:
    document = run("roofline", tmp_path)
    assert "float32_of_sgemm" in document["ratios"]


@pytest.mark.lava
def test_gradient_vs_peers(tmp_path: Path) -> None:
    pytest.importorskip("lava", reason="needs SLAYER (lava-dl)")
    document = run("gradient_vs_peers", tmp_path)
    assert document["ratios"].keys() >= {"slayer_T4", "slayer_T4_float32"}
    agreement = document["details"]["T4"]["agreement"]
    assert agreement["spikes_identical"] is True
    assert all(cosine >= 0.9999 for cosine in agreement["cosine engine float32"])


@pytest.mark.lava
@pytest.mark.slow
def test_engine_vs_lava(tmp_path: Path) -> None:
    pytest.importorskip("lava", reason="needs Lava and the networks in lava-dl's wheel")
    document = run("engine_vs_lava", tmp_path, "--cases", "mnist_T16", "tiny_T16")
    assert document["ratios"].keys() == {
        f"{case}_b{batch}" for case in ("mnist_T16", "tiny_T16") for batch in (1, 32)
    }
    for ratio in document["ratios"].values():
        assert ratio["identical"] is True
        assert ratio["compared_samples"] >= 1
    assert document["lava"]["mnist_T16"]["nonzero_membranes_compared"] > 0
    assert document["lava"]["tiny_T16"]["output_spikes_compared"] > 0
    assert document["lava"]["tiny_T16"]["same_as_backend"]["long"] is True


def test_attack_strength(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out.json"
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(sys, "argv", ["attack_strength.py", "--quick", "--json", str(out)])
    threads = torch.get_num_threads()
    try:
        runpy.run_path(str(FOLDER / "attack_strength.py"), run_name="__main__")
    finally:
        torch.set_num_threads(threads)
    document = json.loads(out.read_text(encoding="utf-8"))
    for rate in document["record"]["robust"]["eps"].values():
        assert set(rate["by_attack"]) == {"random", "pgd-10", "sa-pgd"}
        assert rate["total"] == 16
