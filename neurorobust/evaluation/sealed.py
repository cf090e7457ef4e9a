"""Arrays kept on disk between two runs, with a checksum: a damaged file is not believed.

A sealed file is a plain npz. Its last 64 bytes, the comment of the zip, are in hex

    SHA-256(what it answers, in words; all bytes of the file before these)

so that a damaged file, a file with other numbers, and a good file that answers another question are
told from the right one, and the work is done again.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from torch import Tensor

from neurorobust.evaluation.query import Arrays
from neurorobust.support import files

SEAL = 64  # bytes of a SHA-256 in hex
CHUNK = 1 << 20


def write(path: Path, arrays: Arrays, answers: str) -> None:
    """Write a sealed file, whole or not at all.

    Args:
        path: of the file.
        arrays: by name.
        answers: what they answer, in words; whoever reads them must say the same.

    Raises:
        OutputError: it cannot be written.
    """
    npy: Any = np.lib.format
    with files.atomic(path) as temporary:
        with zipfile.ZipFile(temporary, "w") as archive:
            archive.comment = b"0" * SEAL
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    npy.write_array(entry, np.asanyarray(array), allow_pickle=False)
        with temporary.open("r+b") as stream:
            seal = _seal(stream, temporary.stat().st_size - SEAL, answers)
            stream.seek(-SEAL, io.SEEK_END)
            stream.write(seal)


def sound(path: Path, answers: str) -> bool:
    """Whether the file is there, undamaged, and answers that."""
    try:
        size = path.stat().st_size
        if not path.is_file() or size < SEAL:
            return False
        with path.open("rb") as stream:
            return _seal(stream, size - SEAL, answers) == stream.read(SEAL)
    except OSError:
        return False


def read(path: Path, *prefixes: str) -> Arrays:
    """The arrays whose names start with one of the prefixes (all without any).

    Raises:
        files.UNREADABLE: whatever damage makes of it; ask `sound` first.
    """
    with np.load(path, allow_pickle=False) as archive:
        names = [name for name in archive.files if name.startswith(prefixes or ("",))]
        return {name: archive[name] for name in names}


def received(*parts: Tensor) -> str:
    """SHA-256 of tensors on the CPU, their types and their shapes, in hex."""
    digest = hashlib.sha256()
    for part in parts:
        array = np.ascontiguousarray(part.numpy())
        digest.update(f"{array.dtype} {array.shape} ".encode())
        digest.update(array.data)
    return digest.hexdigest()


def _seal(stream: BinaryIO, length: int, answers: str) -> bytes:
    """Of the first `length` bytes; leaves the stream behind them."""
    digest = hashlib.sha256(f"{len(answers)} {answers}".encode())
    while length > 0:
        chunk = stream.read(min(CHUNK, length))
        if not chunk:
            break
        digest.update(chunk)
        length -= len(chunk)
    return digest.hexdigest().encode()
