"""Files damaged at random, counted and seeded: each reads to a valid model or is refused by name.

They are read in a process of their own. Where the HDF5 library hangs, crashes or allocates, that
process is ended, the very file must be one clear error of `read_guarded`, and the count goes on.
"""

from __future__ import annotations

import json
import queue
import runpy
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

from neurorobust.errors import ModelFileError
from neurorobust.netx import NetxModel, write
from neurorobust.netx.guarded import read_guarded

MUTATE = Path(__file__).with_name("mutate.py")
HANGS_S = 20.0  # without a line, on a busy machine


@dataclass
class Counts:
    read: int = 0
    slowest: float = 0.0
    refused: list[str] = field(default_factory=list)
    broke: list[int] = field(default_factory=list)  # seeds that ended the process

    @property
    def total(self) -> int:
        return self.read + len(self.refused) + len(self.broke)


def fuzz(path: Path, count: int, folder: Path) -> Counts:
    counts, seed = Counts(), 0
    while seed < count:
        seed = _some(path, seed, count - seed, counts)
        if seed < count:  # this one ended the process
            hostile = folder / f"hostile-{seed}.net"
            damaged = runpy.run_path(str(MUTATE))["damaged"]
            hostile.write_bytes(damaged(path.read_bytes(), seed))
            with pytest.raises(ModelFileError):
                read_guarded(hostile)
            counts.broke.append(seed)
            seed += 1
    return counts


def _some(path: Path, first: int, count: int, counts: Counts) -> int:
    """Read from `first` on; the seed that was not answered, or the end."""
    command = [sys.executable, str(MUTATE), str(path), str(first), str(count)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_follow, args=(child.stdout, lines), daemon=True).start()
        seed = first
        try:
            while line := lines.get(timeout=HANGS_S):
                told = json.loads(line)
                assert told["seed"] == seed
                seed += 1
                counts.slowest = max(counts.slowest, told["seconds"])
                if told["said"] is None:
                    counts.read += 1
                else:
                    counts.refused.append(told["said"])
        except queue.Empty:
            child.kill()
        assert child.stderr is not None
        said = child.stderr.read()
        assert "Error" not in said, said[-2000:]
        return seed


def _follow(stream: IO[str], lines: queue.Queue[str]) -> None:
    for line in stream:
        lines.put(line)
    lines.put("")


def check(counts: Counts, count: int) -> None:
    assert counts.total == count
    assert counts.read > count // 20
    assert len(counts.refused) > count // 2
    assert len(set(counts.refused)) > 30
    assert all(text.startswith("x.net: ") and "\n" not in text for text in counts.refused)
    assert len(counts.broke) <= max(1, count // 500)
    assert counts.slowest < 5


@pytest.fixture
def file(tiny: NetxModel, tmp_path: Path) -> Path:
    path = tmp_path / "model.net"
    write(tiny, path)
    return path


def test_damaged_files_read_or_are_refused(file: Path, tmp_path: Path) -> None:
    check(fuzz(file, 400, tmp_path), 400)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_five_thousand_damaged_files(file: Path, tmp_path: Path) -> None:
    check(fuzz(file, 5_000, tmp_path), 5_000)
