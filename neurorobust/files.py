"""Files, whole or not at all: atomic writing, and reading arrays from files nobody vouches for."""

from __future__ import annotations

import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurorobust.errors import BadInput, OutputError

UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,  # a compression no zip reader here knows
    RuntimeError,  # an encrypted member
    MemoryError,
)
MAX_ARRAY_BYTES = 8 << 30  # one array of an npz file, as its header declares it


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; it becomes `path` when the block ends well.

    Raises:
        OutputError: the folder cannot be made or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def probe(folder: Path) -> None:
    """Make sure, before any work, that files can be written into a folder.

    Raises:
        OutputError: the folder cannot be made or written.
    """
    with suppress(_Probed), atomic(folder / "probe"):
        raise _Probed


class _Probed(Exception):
    pass


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_npz(path: Path, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Write a compressed npz atomically.

    numpy's own writer leaves its zip open when the disk is full; the zip then tries once more when
    it is collected, and prints a traceback beside the error. Here it is closed.

    Raises:
        OutputError: it cannot be written; `path` is as it was.
    """
    npy: Any = np.lib.format
    with (
        atomic(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                npy.write_array(stream, np.asanyarray(array), allow_pickle=False)


def read_npz(path: Path, prefix: str = "") -> dict[str, npt.NDArray[np.generic]]:
    """Read the arrays of an npz file whose names start with `prefix`. No pickles, sizes limited.

    Raises:
        BadInput: missing, not an npz, pickled objects, or a declared size beyond the limit.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if entry.file_size > MAX_ARRAY_BYTES:
                    raise BadInput(
                        f"{path}: array {entry.filename} declares {entry.file_size} bytes, "
                        f"limit {MAX_ARRAY_BYTES}"
                    )
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files if name.startswith(prefix)}
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such file") from error
    except UNREADABLE as error:
        if isinstance(error, BadInput):
            raise
        reason = " ".join(str(error).split())
        raise BadInput(f"{path}: not a readable npz file: {reason}") from error
