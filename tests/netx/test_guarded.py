"""Files that are not ours are read in a process with limits; exceeding them is one clear error."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from neurorobust.errors import ModelFileError
from neurorobust.netx import NetxModel, guarded, isolated, read, write
from neurorobust.netx.compare import difference
from neurorobust.netx.guarded import read_guarded


@pytest.fixture(autouse=True)
def forgetful() -> None:
    guarded._known.clear()


@pytest.fixture
def file(tiny: NetxModel, tmp_path: Path) -> Path:
    path = tmp_path / "model.net"
    write(tiny, path)
    return path


def stand_in(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Another child in the place of the reader."""
    real = subprocess.Popen

    def started(command: list[str], **settings: Any) -> Any:
        return real([command[0], "-c", code, *command[7:]], **settings)

    monkeypatch.setattr(subprocess, "Popen", started)


READS = "import sys; sys.stdin.buffer.read(); sys.stdout.write('R'); sys.stdout.flush();"


def test_the_same_model_as_read(file: Path) -> None:
    model = read_guarded(file)
    assert difference(model, read(file)) is None
    assert (model.sha256, model.path) == (read(file).sha256, str(file))


def test_a_file_is_read_once(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = read_guarded(file)
    stand_in(monkeypatch, "raise SystemExit")
    copy = tmp_path / "copy.net"
    copy.write_bytes(file.read_bytes())
    again = read_guarded(copy)
    assert again.layers is model.layers
    assert again.path == str(copy)
    copy.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(ModelFileError, match="broke on it"):
        read_guarded(copy)


def test_a_refusal_is_the_readers_own(tmp_path: Path) -> None:
    path = tmp_path / "model.net"
    path.write_bytes(b"no")
    with pytest.raises(ModelFileError) as caught:
        read_guarded(path)
    assert str(caught.value) == f"{path}: not an HDF5 file"


def test_a_missing_file_starts_no_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stand_in(monkeypatch, "raise SystemExit")
    with pytest.raises(ModelFileError, match="no such file"):
        read_guarded(tmp_path / "none.net")


def test_a_reader_that_hangs_is_ended(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, READS + "import time; time.sleep(60)")
    before, start = set(psutil.Process().children()), time.monotonic()
    with pytest.raises(ModelFileError) as caught:
        read_guarded(file, seconds=0.5)
    assert str(caught.value) == f"{file}: not read within 0.5 s, refused"
    assert time.monotonic() - start < 30
    assert set(psutil.Process().children()) == before


@pytest.mark.parametrize("code", [READS + "import os; os.abort()", "raise SystemExit(3)"])
def test_a_reader_that_crashes(file: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    stand_in(monkeypatch, code)
    with pytest.raises(ModelFileError, match="the HDF5 library broke on it, or needed more than"):
        read_guarded(file)


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux")
def test_a_reader_that_wants_more_memory_than_allowed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wants = "import resource; resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]),) * 2);"
    stand_in(monkeypatch, READS + wants + "x = bytearray(600 << 20); sys.stdout.write('Mx')")
    with pytest.raises(ModelFileError, match="or needed more than 500 MB"):
        read_guarded(file)


def test_the_command_line_reads_strangers_files_so(file: Path, tmp_path: Path) -> None:
    """HDF5 hangs in the child wherever it opens a file: the command still ends."""
    hangs = (
        "import sys\n"
        "from neurorobust.netx import isolated\n"
        "hang = 'import h5py, time; h5py.h5f.open = lambda *a, **k: time.sleep(100)'\n"
        "isolated.PROGRAM = hang + isolated.PROGRAM\n"
        "from neurorobust.__main__ import main\n"
        "sys.argv[0] = 'neurorobust'\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", hangs, "run", str(file), "--input", "x", "--out", "y"],
        cwd=Path(guarded.__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.strip() == f"neurorobust: {file}: not read within 5 s, refused"
    assert not (tmp_path / "y").exists()


EVIL = ("h5py", "numpy", "secrets", "json", "importlib", "neurorobust", "sitecustomize")


def test_the_reader_imports_nothing_from_the_callers_folder(file: Path, tmp_path: Path) -> None:
    """Started in a folder of modules that leave a trace: as itself, not by `python -m`."""
    evil = tmp_path / "evil"
    evil.mkdir()
    for name in EVIL:
        (evil / f"{name}.py").write_text(
            f"from pathlib import Path; Path({str(evil / 'ran')!r}).write_text({name!r})\nraise"
        )
    root = str(Path(guarded.__file__).resolve().parents[2])
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import neurorobust.netx.guarded as guarded\n"
        "assert guarded.__file__.startswith(sys.argv[1])\n"
        "print(len(guarded.read_guarded(sys.argv[2]).layers))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, root, str(file)],
        cwd=evil,
        env={**os.environ, "PYTHONPATH": str(evil)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout.split() == ["6"], done.stderr
    assert not (evil / "ran").exists()


def test_the_reader_is_of_this_package(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of another one that is installed, nor of a folder beside it."""
    start, _, _ = isolated.PROGRAM.partition("importlib.import_module(program)")
    says = "import neurorobust.netx.child as c; sys.stdin.read(); print('R' + c.__file__)"
    monkeypatch.setattr(isolated, "PROGRAM", start + says)
    said = isolated.ask("neurorobust.netx.child", [], b"", "x", 20.0, 1 << 30)
    package = Path(guarded.__file__).parent
    assert Path(said.decode().strip()) == package / "child.py"
