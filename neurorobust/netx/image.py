"""The bytes of a `.net` file: read once, so that the digest is of exactly what was parsed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from stat import S_ISREG

from neurorobust.errors import ModelFileError
from neurorobust.netx.rules import DAMAGED, HOSTILE, POINTER

MAX_FILE_BYTES = 256 << 20
SIGNATURE = b"\x89HDF\r\n\x1a\n"
_POINTER = b"version https://git-lfs"  # how Git LFS begins what stands in for a large file


def load(path: Path) -> bytes:
    """All bytes of a regular file.

    Raises:
        ModelFileError: there is no such file, or it is too large or unreadable.
    """
    try:
        status = path.stat()
        data = path.read_bytes() if S_ISREG(status.st_mode) and _fits(status) else b""
    except FileNotFoundError:
        raise ModelFileError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path}: cannot be read ({one_line(error)})") from error
    if not S_ISREG(status.st_mode):
        raise ModelFileError(f"{path}: not a regular file", HOSTILE)
    if not _fits(status):
        raise ModelFileError(
            f"{path}: {status.st_size} bytes, the limit is {MAX_FILE_BYTES}", HOSTILE
        )
    return data


def _fits(status: os.stat_result) -> bool:
    return status.st_size <= MAX_FILE_BYTES


def check_signature(image: bytes, name: str) -> None:
    """Refuse what is no HDF5 file.

    Raises:
        ModelFileError: empty, a Git LFS pointer, or another kind of file.
    """
    if not image:
        raise ModelFileError(f"{name}: empty file", DAMAGED)
    if image.startswith(_POINTER):
        raise ModelFileError(
            f"{name}: a Git LFS pointer, not the file itself; `git lfs pull` fetches it", POINTER
        )
    offsets = (0, *(512 << n for n in range(len(image).bit_length())))
    if all(image[offset : offset + 8] != SIGNATURE for offset in offsets):
        raise ModelFileError(f"{name}: not an HDF5 file", DAMAGED)


def digest(image: bytes) -> str:
    """sha256 as hex."""
    return hashlib.sha256(image).hexdigest()


def one_line(text: object, most: int = 120) -> str:
    """`text` without line breaks and control characters, at most `most` characters."""
    line = " ".join(str(text).split())
    line = line if line.isprintable() else ascii(line)[1:-1]
    return line if len(line) <= most else line[: most - 3] + "..."


def quoted(name: str, most: int = 60) -> str:
    """A name or text from a file, safe to print: ascii in quotes, at most `most` characters."""
    return one_line(ascii(name), most)
