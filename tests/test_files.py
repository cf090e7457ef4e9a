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
