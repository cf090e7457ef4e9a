"""The conformance suite itself: green on real targets, red where it must be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from neurorobust import netx
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.errors import BadInput
from neurorobust.models import shipped_folder
from neurorobust.support import files
from neurorobust.verify import conformance
from tests.build import events, mlp

ROOT = Path(__file__).resolve().parents[2]
STANDIN = ROOT / "tests" / "standin"
GOLDEN = "test_golden_spikes_of_every_layer"


def _suite(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "hw_tests", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Somebody's own network, without a card, and inputs for it."""
    model = netx.write(mlp(8, 6, 3), tmp_path / "own.net")
    spikes = events(5, 8, 10).numpy()
    np.savez(tmp_path / "inputs.npz", spikes=spikes)
    run = ReferenceBackend(model).run(torch.from_numpy(spikes), (0, 1))
    assert run.spikes.any()
    answers = {"spikes": run.spikes.numpy(), "layer0/spikes": run.layers[0].spikes.numpy()}
    np.savez(tmp_path / "answers.npz", input=spikes, **answers)
    answers["layer0/spikes"][2, 1, 3] ^= 1
    np.savez(tmp_path / "wrong.npz", input=spikes, **answers)
    return tmp_path


def _own(network: Path, data: str, *arguments: str, **environment: str) -> tuple[int, str]:
    result = _suite(
        "--model", str(network / "own.net"), "--data", str(network / data), *arguments,
        **environment,
    )  # fmt: skip
    return result.returncode, result.stdout + result.stderr


@pytest.mark.lava
def test_lava_gives_the_golden_spikes(network: Path) -> None:
    pytest.importorskip("lava")
    code, said = _own(network, "answers.npz", "--target", "lava", "-k", GOLDEN)
    assert code == 0, said
    assert "1 passed" in said


@pytest.mark.slow
@pytest.mark.lava
def test_lava_is_green(network: Path) -> None:
    pytest.importorskip("lava")
    code, said = _own(network, "answers.npz", "--target", "lava")
    assert code == 0, said
    assert "target: lava: Lava's fixed-point simulation" in said
    assert "lava-nc 0.10.0" in said
    assert "12 passed" in said
    assert "skipped" not in said
    assert '"samples_per_second"' in said


@pytest.mark.slow
@pytest.mark.lava
def test_lava_is_green_on_a_shipped_network() -> None:
    pytest.importorskip("lava")
    result = _suite("--target", "lava", "--model", "digits-mlp")
    assert result.returncode == 0, result.stdout
    assert "14 passed" in result.stdout
    assert "skipped" not in result.stdout


def test_an_unknown_target_is_never_green() -> None:
    result = _suite("--target", "tpu")
    assert result.returncode == 2
    assert "backend 'tpu': unknown, known: engine" in result.stdout + result.stderr


@pytest.mark.lava
def test_a_board_that_is_not_there_ends_with_the_probes_words() -> None:
    pytest.importorskip("lava")
    result = _suite("--target", "loihi2", PARTITION="oheogulch")
    assert result.returncode == 2
    said = result.stdout + result.stderr
    words = "loihi2: probe compiler (lava.magma.compiler.subcompilers.nc.ncproc_compiler) failed"
    assert f"Exit: target loihi2: {words}" in said
    assert "environment: PARTITION=oheogulch" in said
    assert " passed" not in said


def test_a_network_of_ones_own_with_and_without_answers(network: Path) -> None:
    assert "11 passed" in _own(network, "inputs.npz")[1]
    code, said = _own(network, "wrong.npz")
    assert code == 1
    assert f"FAILED hw_tests/test_deployment.py::{GOLDEN}" in said
    assert "layer0/spikes" in said
    assert "1 failed, 11 passed" in said


def test_what_cannot_be_asked_is_said(network: Path) -> None:
    result = _suite("--model", str(network / "own.net"))
    assert result.returncode == 2
    assert "no card: nothing says how to feed" in result.stdout + result.stderr
    np.savez(network / "empty.npz", other=np.zeros(3))
    with pytest.raises(BadInput, match=r"holds \['other'\], need input, or drive and steps"):
        conformance.find(str(network / "own.net"), str(network / "empty.npz"))


def test_one_wrong_golden_answer_is_red_and_so_is_its_label(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(shipped_folder() / "digits-mlp", folder)
    arrays = files.read_npz(folder / "golden.npz")
    arrays["spikes"][3] = np.roll(arrays["spikes"][3], 1, axis=0)  # the next class
    files.write_npz(folder / "golden.npz", arrays)
    result = _suite("--model", str(folder / "model.net"), "-k", "golden")
    assert result.returncode == 1
    assert f"FAILED hw_tests/test_deployment.py::{GOLDEN}" in result.stdout
    assert "2 failed, 1 passed" in result.stdout


@pytest.fixture
def board(tmp_path: Path) -> dict[str, str]:
    """The environment in which the stand-in for a board is found."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "sinfo").write_text("#!/bin/sh\necho oheogulch up\n")
    (tools / "sinfo").chmod(0o755)
    return {
        "PATH": os.pathsep.join((str(tools), os.environ["PATH"])),
        "PYTHONPATH": os.pathsep.join((str(STANDIN), str(ROOT))),
        "PARTITION": "oheogulch",
    }


@pytest.mark.slow
@pytest.mark.lava
def test_the_stand_in_for_a_board_is_green(network: Path, board: dict[str, str]) -> None:
    """Through adapters that are late, as measured."""
    pytest.importorskip("lava")
    code, said = _own(
        network,
        "answers.npz",
        "--target",
        "loihi2",
        LOIHI2_STANDIN='{"latency": [2, 1, 3]}',
        **board,
    )
    assert code == 0, said
    assert "13 passed" in said
    assert "board: Loihi 2 N3B3, partition oheogulch (slurm) can be asked for" in said
    assert "target: loihi2: the Loihi 2 board" in said
    assert "untested on hardware" in said.partition("target: loihi2")[2].partition("model:")[0]
    assert '"latency_steps": {"input": 2, "output": 1, "state": 3}' in said


@pytest.mark.slow
@pytest.mark.lava
def test_one_spike_of_the_stand_in_is_red(network: Path, board: dict[str, str]) -> None:
    """One spike of a whole run: of the hidden layer, in Lava's eighth step."""
    pytest.importorskip("lava")
    code, said = _own(
        network, "answers.npz", "--target", "loihi2", "-k", GOLDEN,
        LOIHI2_STANDIN='{"lie": true}', **board,
    )  # fmt: skip
    assert code == 1
    assert f"FAILED hw_tests/test_deployment.py::{GOLDEN}" in said
    assert "1 failed" in said
