import os
import resource
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from neurorobust.errors import BadInput, OutputError
from neurorobust.support import files


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
    with pytest.raises(BadInput, match="array a holds Python objects, which are never loaded"):
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


def test_all_arrays_together_have_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros(10_000), b=np.zeros(10_000), other=np.zeros(10_000))
    message = r"a\.npz: array b: 160000 bytes are declared with it, the limit for this file is 1590"
    with pytest.raises(BadInput, match=message):
        files.read_npz(path, names=("a", "b"), limit=159_000)
    assert set(files.read_npz(path, names=("a", "b"), limit=160_000)) == {"a", "b"}
    assert set(files.read_npz(path, prefix="a", limit=80_000)) == {"a"}


def test_a_compressed_giant_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("a.npy", "w", force_zip64=True) as member,
    ):
        member.write(header((300 << 20,)))
        for _ in range(300):
            member.write(bytes(1 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert files.foreign_limit(path) < 350 << 20
    with pytest.raises(BadInput, match=r"array a: 314572800 bytes are declared with it"):
        files.read_npz(path, limit=min(files.foreign_limit(path), files.SMALL_BYTES))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10  # KiB


def header(shape: object, content: bytes = b"") -> bytes:
    """An array of bytes whose header says what it likes."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + content


HOSTILE: dict[str, tuple[dict[str, bytes], str]] = {
    "bool": ({"a.npy": header("(True, 3)", bytes(3))}, "array a is damaged: shape (True, 3)"),
    "no number": ({"a.npy": header("('x',)")}, "array a is damaged: "),
    "no tuple": ({"a.npy": header("7")}, "array a is damaged: "),
    "short": ({"a.npy": header((9,), bytes(3))}, "it declares 9 bytes, 3 are there"),
    "long": ({"a.npy": header((2,), bytes(9))}, "it declares 2 bytes, 9 are there"),
    "huge": ({"a.npy": header((1 << 60,))}, "it declares 1152921504606846976 bytes, 0 are there"),
    "no .npy": ({"a": header((1,), b"x")}, "member a is no array (.npy)"),
    "escape": ({"a\x1b[2J": b""}, r"member a\x1b[2J is no array"),
    "long name": ({"a" * 5000: b""}, "aaaa... is no array"),
    "text": ({"a.npy": b"hello"}, "array a is damaged: "),
    "empty": ({"a.npy": b""}, "array a is damaged: "),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_npz_files_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    members, message = HOSTILE[name]
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    with pytest.raises(BadInput) as caught:
        files.read_npz(path)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300 + len(str(path))


def test_only_regular_npz_files_are_opened(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.npz"
    os.mkfifo(fifo)
    for path in (fifo, Path("/dev/zero"), tmp_path):
        for read in (files.read_npz, files.npz_names):
            with pytest.raises(BadInput, match="not a regular file"):
                read(path)


FULL = """
import os, resource, sys
from pathlib import Path
import numpy as np
from neurorobust import netx
from neurorobust.support import files
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
