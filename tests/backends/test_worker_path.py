"""The process that holds Lava starts in a folder of its own: the caller's is not on its path."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from neurorobust.backends.hosted.process import WorkerProcess, new_directory

PROBE = "import os, sys; print(os.getcwd(), *sys.path, sep='\\n', flush=True); print('end')"


def test_the_callers_folder_is_not_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lava.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{os.pathsep}/kept")  # an empty entry is the current folder
    directory = new_directory()
    (directory / "probe.py").write_text(PROBE)
    worker = WorkerProcess(directory, [], module="probe")
    try:
        deadline = time.monotonic() + 60
        while not (said := (directory / "lava.log").read_text()).endswith("end\n"):
            assert time.monotonic() < deadline, said
            time.sleep(0.01)
    finally:
        worker.end()
    lines = said.splitlines()
    assert lines[0] == str(directory.resolve())
    assert "/kept" in lines
    assert str(tmp_path) not in lines
