import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from neurorobust import files
from neurorobust.errors import BadInput, OutputError


def test_npz_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.npz"
    files.write_npz(path, {"a/b": np.arange(5, dtype=np.int32)})
    back = files.read_npz(path)
    assert list(back) == ["a/b"]
    assert back["a/b"].dtype == np.int32
    assert np.array_equal(back["a/b"], np.arange(5))


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    files.write_text(path, "old")

    def fail() -> None:
        with files.atomic(path) as temporary:
            temporary.write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        files.write_text(tmp_path / "file" / "a.txt", "x")


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "evil.npz"
    np.savez(path, a=np.array([object()], dtype=object))
    with pytest.raises(BadInput, match="not a readable npz file"):
        files.read_npz(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04broken", b"hello"])
def test_damaged_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"a\.npz: not a readable npz file"):
        files.read_npz(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        files.read_npz(tmp_path / "none.npz")


def test_declared_size_beyond_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros(10_000))
    monkeypatch.setattr(files, "MAX_ARRAY_BYTES", 1000)
    with pytest.raises(BadInput, match=r"array a\.npy declares 80128 bytes, limit 1000"):
        files.read_npz(path)


FULL = """
import os, resource, sys
from pathlib import Path
import numpy as np
from neurorobust import files, netx
from neurorobust.errors import OutputError
from neurorobust.netx import DenseLayer, NetxModel

resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))  # what is beyond, the disk refuses
folder, rng = Path(sys.argv[1]), np.random.default_rng(0)
weights = rng.integers(-128, 127, (400, 400))
net = NetxModel((400, 1, 1), (DenseLayer(0, (400, 1, 1), None, 2 * weights),))
for write in (
    lambda: files.write_npz(folder / "a.npz", {"x": weights, "y": np.arange(4)}),
    lambda: files.write_text(folder / "a.txt", "x" * 60_000),
    lambda: netx.write(net, folder / "a.net"),
):
    try:
        write()
    except OutputError as error:
        print(error)
print(sorted(os.listdir(folder)))
"""


def test_a_full_disk_is_one_error_and_nothing_else(tmp_path: Path) -> None:
    """Nothing half-written stays, and no traceback of a zip that closes itself later."""
    result = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=False
    )
    lines = result.stdout.splitlines()
    assert (result.returncode, result.stderr, len(lines)) == (0, "", 4), result
    for line, name in zip(lines, ("a.npz", "a.txt", "a.net"), strict=False):
        assert line.startswith(f"{tmp_path / name}: cannot be written: "), line
    assert lines[-1] == "[]"
