"""Files, whole or not at all: atomic writing, and reading arrays from files nobody vouches for."""

from __future__ import annotations

import math
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
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
    struct.error,
    NotImplementedError,  # a compression no zip reader here knows
    RuntimeError,  # an encrypted member
    MemoryError,
)
MAX_NPZ_BYTES = 8 << 30  # all arrays that are read from one npz file, as declared
FOREIGN_BYTES = 2 << 30  # the same, of a file that a user hands over
SMALL_BYTES = 256 << 20
RATIO = 250
MAX_MEMBERS = 10_000  # of one npz file
MANY = 8  # names that a message lists
_NPY: Any = np.lib.format  # numpy leaves it untyped


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


def read_npz(
    path: Path,
    prefix: str = "",
    names: Collection[str] | None = None,
    limit: int = MAX_NPZ_BYTES,
) -> dict[str, npt.NDArray[np.generic]]:
    """Read arrays of an npz file; nothing is decoded before all that is declared was looked at.

    Args:
        path: the file.
        prefix: only arrays whose names start with it are read.
        names: only these are read, and all of them must be there; None: whatever is there.
        limit: bytes that all arrays which are read may declare together.

    Raises:
        BadInput: missing, not a regular file, not an npz, an array that is missing or damaged,
            Python objects (pickles are never loaded), or sizes beyond the limit.
    """
    with _opened_npz(path) as archive:
        present = _arrays(archive)
        for name in names or ():
            if name not in present:
                raise BadInput(
                    f"{path}: no array {name!r}, need {', '.join(names or ())}; "
                    f"it holds {_listed(present)}"
                )
        wanted = {
            name: entry
            for name, entry in present.items()
            if name.startswith(prefix) and (names is None or name in names)
        }
        declared = 0
        for name, entry in wanted.items():
            declared += _declared(path, archive, name, entry)
            if declared > limit:
                raise BadInput(
                    f"{path}: array {_shown(name)}: {declared} bytes are declared with it, the "
                    f"limit for this file is {limit}"
                )
        out = {}
        for name, entry in wanted.items():
            with archive.open(entry) as member:
                out[name] = _NPY.read_array(member, allow_pickle=False)
        return out


def npz_names(path: Path) -> list[str]:
    """The names of the arrays in an npz file.

    Raises:
        BadInput: missing, not a regular file, or not an npz.
    """
    with _opened_npz(path) as archive:
        return sorted(_arrays(archive))


def foreign_limit(path: Path) -> int:
    """Bytes that arrays from a stranger's npz may declare: `RATIO` for each byte of the file.

    Small files may declare `SMALL_BYTES`; none may declare more than `FOREIGN_BYTES`.
    """
    size = path.stat().st_size if path.is_file() else 0
    return min(FOREIGN_BYTES, max(SMALL_BYTES, RATIO * size))


@contextmanager
def _opened_npz(path: Path) -> Iterator[zipfile.ZipFile]:
    """The zip of an npz; whatever reading it raises becomes `BadInput`."""
    if not path.exists():
        raise BadInput(f"{path}: no such file")
    if not path.is_file():  # opening a fifo would wait for ever
        raise BadInput(f"{path}: not a regular file")
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except UNREADABLE as error:
        if isinstance(error, BadInput):
            raise
        reason = _shown(" ".join(str(error).split()) or type(error).__name__, 200)
        raise BadInput(f"{path}: not a readable npz file: {reason}") from error


def _arrays(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    entries = archive.infolist()
    if len(entries) > MAX_MEMBERS:
        raise ValueError(f"{len(entries)} members, limit {MAX_MEMBERS}")
    found = {}
    for entry in entries:
        if not entry.filename.endswith(".npy"):
            raise ValueError(f"member {_shown(entry.filename)} is no array (.npy)")
        found[entry.filename.removesuffix(".npy")] = entry
    if len(found) != len(entries):
        raise ValueError("two members have one name")
    return found


def _declared(path: Path, archive: zipfile.ZipFile, name: str, entry: zipfile.ZipInfo) -> int:
    """Bytes of an array as its header declares them, which must be what the zip declares."""
    with archive.open(entry) as member:
        try:
            version = _NPY.read_magic(member)
            read = {
                (1, 0): _NPY.read_array_header_1_0,
                (2, 0): _NPY.read_array_header_2_0,
            }[version]
            shape, _, dtype = read(member)
            header = member.tell()
        except Exception as error:  # numpy evaluates the header as Python literals: anything goes
            reason = _shown(" ".join(str(error).split()) or type(error).__name__, 200)
            raise BadInput(f"{path}: array {_shown(name)} is damaged: {reason}") from error
    if dtype.hasobject:
        raise BadInput(f"{path}: array {_shown(name)} holds Python objects, which are never loaded")
    if any(type(size) is not int or size < 0 for size in shape):
        raise BadInput(f"{path}: array {_shown(name)} is damaged: shape {_shown(str(shape))}")
    count = math.prod(shape) * dtype.itemsize
    if header + count != entry.file_size:
        raise BadInput(
            f"{path}: array {_shown(name)} is damaged: it declares {count} bytes, "
            f"{entry.file_size - header} are there"
        )
    return int(count)


def _shown(text: str, most: int = 60) -> str:
    """Text from a file as messages show it: without control characters, cut."""
    text = text if text.isprintable() else ascii(text)[1:-1]
    return text if len(text) <= most else text[: most - 3] + "..."


def _listed(names: Iterable[str]) -> str:
    shown = [_shown(name) for name in sorted(names)]
    more = f" and {len(shown) - MANY} more" if len(shown) > MANY else ""
    return ", ".join(shown[:MANY]) + more or "nothing"
