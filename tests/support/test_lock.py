"""An output folder has one writer at a time, and a dead one does not count."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from neurorobust.errors import OutputError
from neurorobust.support.lock import locked

HOLD = """
import sys, pathlib
from neurorobust.support.lock import locked
with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_folder_in_use_is_refused_and_the_process_named(tmp_path):
    with holder(tmp_path) as process:
        with (
            pytest.raises(OutputError, match=f"in use by process {process.pid}; wait for it"),
            locked(tmp_path),
        ):
            pytest.fail("it was locked twice")
        process.communicate()
    assert process.returncode == 0
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_holds_nothing(tmp_path):
    with holder(tmp_path) as process:
        process.kill()
    with locked(tmp_path):
        assert (tmp_path / ".lock").read_text() == str(os.getpid())
    assert list(tmp_path.iterdir()) == []


def test_the_same_thread_may_lock_again_and_another_may_not(tmp_path):
    refused: list[str] = []

    def elsewhere() -> None:
        try:
            with locked(tmp_path):
                pass
        except OutputError as error:
            refused.append(str(error))

    with locked(tmp_path):
        with locked(tmp_path / "." / ""):
            pass
        assert (tmp_path / ".lock").exists()
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert refused == [f"{tmp_path}: in use by this process ({os.getpid()}), another thread"]


@pytest.mark.parametrize("fails", [False, True])
def test_a_folder_made_for_nothing_is_removed(tmp_path, fails: bool):
    def use() -> None:
        with locked(tmp_path / "a" / "b"):
            if fails:
                raise ValueError("of the caller's")

    if fails:
        with pytest.raises(ValueError, match="of the caller's"):
            use()
    else:
        use()
    assert list(tmp_path.iterdir()) == []


def test_what_was_written_stays(tmp_path):
    with locked(tmp_path / "a"):
        (tmp_path / "a/result").write_text("")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["result"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file/run"):
        with pytest.raises(OutputError, match=f"^{folder}: cannot be written"), locked(folder):
            pytest.fail("it was locked")


def test_a_link_under_the_name_of_the_lock_is_not_followed(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.lock").symlink_to(tmp_path / "mine")
    with pytest.raises(OutputError, match="cannot be written"), locked(tmp_path / "run"):
        pytest.fail("it was locked")
    assert (tmp_path / "mine").read_text() == "mine"
