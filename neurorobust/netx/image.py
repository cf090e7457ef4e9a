"""The bytes of a `.net` file: read once, so that the digest is of exactly what was parsed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from stat import S_ISREG

from neurorobust.errors import ModelFileError
from neurorobust.netx.rules import HOSTILE

MAX_FILE_BYTES = 256 << 20


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


def digest(image: bytes) -> str:
    """sha256 as hex."""
    return hashlib.sha256(image).hexdigest()


def one_line(text: object) -> str:
    """`text` without line breaks, at most 120 characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= 120 else line[:117] + "..."
