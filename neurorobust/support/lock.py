"""One process a folder: who writes into it keeps all others out until it is done, or dead."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from neurorobust.errors import OutputError

LOCK = ".lock"  # in the folder while it is in use; a killed process leaves the file, not the lock
_held: dict[Path, int] = {}  # folders that this process has locked, and the thread that did


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a folder, and keep it from other processes and threads while the block runs.

    The same thread may lock it again. A folder that was made here and is empty in the end is
    removed.

    Raises:
        OutputError: it cannot be made or written, or is in use; names the process.
    """
    made = _make(folder)
    place = folder.resolve()
    try:
        if _held.get(place) == threading.get_ident():
            yield
            return
        if place in _held:
            raise OutputError(f"{folder}: in use by this process ({os.getpid()}), another thread")
        descriptor = _lock(folder)
        _held[place] = threading.get_ident()
        try:
            yield
        finally:
            with suppress(OSError):
                (folder / LOCK).unlink(missing_ok=True)
            os.close(descriptor)
            del _held[place]
    finally:
        for one in made:
            with suppress(OSError):  # not empty
                one.rmdir()


def _make(folder: Path) -> list[Path]:
    """Make it; which folders that took, the innermost first."""
    try:
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        missing = [one for one in (folder, *folder.parents) if not one.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror}") from error
    return missing


def _lock(folder: Path) -> int:
    """The file, open and locked, with the process' number in it."""
    path = folder / LOCK
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be written: {error.strerror}") from error
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _same(path, descriptor):  # not the file of one who left in between
                os.ftruncate(descriptor, 0)
                os.write(descriptor, str(os.getpid()).encode())
                return descriptor
        except OSError as error:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace")
            os.close(descriptor)
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise OutputError(f"{folder}: cannot be locked: {error.strerror}") from error
            who = f"process {holder}" if holder.isdigit() else "another process"
            raise OutputError(f"{folder}: in use by {who}; wait for it, or end it") from None
        os.close(descriptor)


def _same(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
