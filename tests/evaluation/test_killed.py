"""Killed at any moment, resumed, the same record: with a real process and a real kill."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from neurorobust.cli.app import app

ATTACKS = ["--attacks", "random,pgd-linf,spike-topk", "--eps", "0.1,0.05", "--flips", "5"]
RECIPE = [
    "--attacks", "standard-1", "--flips", "5", "--seeds", "2", "--minimum", "--targeted",
]  # fmt: skip


def start(out: Path, *options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "neurorobust", "evaluate", "digits-mlp", "--out", str(out),
         *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def finish(out: Path, *options: str) -> None:
    assert start(out, *options).wait(timeout=1200) == 0


def here(out: Path, *options: str) -> None:
    """The same command in this process."""
    with pytest.raises(SystemExit) as ended:
        app(["evaluate", "digits-mlp", "--out", str(out), *options])
    assert ended.value.code == 0


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=60) == -signal.SIGKILL


def timeless(value: Any) -> Any:
    """Everything of a record but times, and where and how it was computed."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k not in ("seconds", "provenance")}
    return [timeless(part) for part in value] if isinstance(value, list) else value


def results(out: Path) -> tuple[Any, bytes]:
    record = json.loads((out / "record.json").read_text())
    assert record["provenance"]["seconds"] > 0
    return timeless(record), (out / "samples.npz").read_bytes()


def test_killed_in_the_second_shard_and_resumed(tmp_path: Path):
    options = [*ATTACKS, "--limit", "128"]
    process = start(tmp_path / "killed", *options)
    first = tmp_path / "killed/shards/00000.npz"
    deadline = time.monotonic() + 120
    while not first.is_file():  # the second of two is then begun
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    kill(process)
    assert not (tmp_path / "killed/record.json").exists()
    here(tmp_path / "killed", *options, "--resume")
    here(tmp_path / "whole", *options)
    assert results(tmp_path / "killed") == results(tmp_path / "whole")
    left = sorted(path.name for path in (tmp_path / "killed").iterdir())
    assert left == ["record.json", "report.html", "samples.npz", "settings.json"]


def test_killed_among_the_jobs_of_the_first_shard_and_resumed(tmp_path: Path):
    options = [*ATTACKS, "--limit", "64"]
    process = start(tmp_path / "killed", *options)
    jobs = tmp_path / "killed/shards/00000"
    deadline = time.monotonic() + 120
    while len(list(jobs.glob("*.npz"))) < 2:  # of several
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    kill(process)
    assert not (tmp_path / "killed/shards/00000.npz").exists()
    here(tmp_path / "killed", *options, "--resume")
    here(tmp_path / "whole", *options)
    assert results(tmp_path / "killed") == results(tmp_path / "whole")


def test_an_interruption_says_what_is_kept(tmp_path: Path):
    options = [*ATTACKS, "--limit", "64", "--out", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "neurorobust", "evaluate", "digits-mlp", *options],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    jobs = tmp_path / "shards/00000"
    deadline = time.monotonic() + 120
    while len(list(jobs.glob("*.npz"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    kept = len(list(jobs.glob("[!.]*.npz")))
    assert 2 <= kept < 7  # a control beside them
    line = f"interrupted; {kept} of 7 jobs of shard 1 of 1 are kept; --resume goes on from here"
    assert said.splitlines()[-1] == f"neurorobust: {line}"


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("seed", range(2))
def test_killed_again_and_again_at_random_moments(tmp_path: Path, seed: int):
    options = [*RECIPE, "--limit", "66"]
    begun = time.monotonic()
    finish(tmp_path / "whole", *options)
    span = time.monotonic() - begun
    lots = random.Random(seed)
    kills = 0
    for _ in range(4):
        process = start(tmp_path / "killed", *options, *(["--resume"] if kills else []))
        time.sleep(lots.uniform(0.05, 0.3) * span)
        if process.poll() is None:
            kill(process)
            kills += 1
    assert kills > 1
    finish(tmp_path / "killed", *options, "--resume")
    assert results(tmp_path / "killed") == results(tmp_path / "whole")
