"""Which files of a folder an evaluation wrote: nothing else in it is ever removed or replaced.

A folder is an evaluation's if its `settings.json` is one; `shards` in it is one's if it holds the
mark that was put there when it was made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from neurorobust.errors import OutputError
from neurorobust.support import files

RECORD, SAMPLES, SETTINGS, SHARDS = "record.json", "samples.npz", "settings.json", "shards"
REPORT_FILE = "report.html"  # written by `neurorobust.report`, removed with what it shows
RESULTS = (REPORT_FILE, RECORD, SAMPLES)
MARK = ".neurorobust"
ASKED = {"version", "model", "backend", "dataset", "samples", "card"}

HALF = r"\.[a-z0-9_]{8}"  # `files.atomic` writes `name` as `.name` and this, until it is whole
SHARD_FILE = re.compile(
    rf"(\d{{5,}}|strongest|probes)\.npz|\.(\d{{5,}}|strongest|probes)\.npz{HALF}|\.{MARK}{HALF}"
)
JOB_FILE = re.compile(rf"[0-9a-f]{{16}}\.npz|\.[0-9a-f]{{16}}\.npz{HALF}")
JOB_FOLDER = re.compile(r"\d{5,}")


def occupied(out: Path) -> bool:
    """Whether anything has a name that an evaluation uses."""
    return any(_there(out / name) for name in (*RESULTS, SETTINGS, SHARDS))


def require_ours(out: Path) -> None:
    """Refuse a folder where one of those names is somebody else's.

    Raises:
        OutputError: names the file.
    """
    there = [name for name in (SETTINGS, *RESULTS, SHARDS) if _there(out / name)]
    if not there:
        return
    if not _asked(out / SETTINGS):
        raise _foreign(out / there[0])
    shards = out / SHARDS
    if _there(shards) and (
        shards.is_symlink()
        or not shards.is_dir()
        or (any(shards.iterdir()) and not (shards / MARK).is_file())
    ):
        raise _foreign(shards)


def begin(out: Path) -> None:
    """Make `shards`, marked as an evaluation's."""
    (out / SHARDS).mkdir(exist_ok=True)
    if not (out / SHARDS / MARK).is_file():
        files.write_text(out / SHARDS / MARK, "Work of an evaluation; removed when it is done.\n")


def clear(out: Path) -> None:
    """Remove what an evaluation left, `settings.json` excepted.

    Raises:
        OutputError: a file among it that no evaluation wrote (nothing is removed then), or one
            that cannot be removed.
    """
    foreign = next(_foreign_files(out / SHARDS), None)
    if foreign is not None:
        raise _foreign(foreign)
    for name in RESULTS:
        try:
            (out / name).unlink(missing_ok=True)
        except OSError as error:
            message = f"{out / name}: cannot be removed: {error.strerror}"
            raise OutputError(message) from error
    clean_up(out)


def clean_up(out: Path) -> None:
    """Remove the work, and what a killed run left half written."""
    shards = out / SHARDS
    if (shards / MARK).is_file() and not shards.is_symlink():
        for folder in shards.iterdir():
            if JOB_FOLDER.fullmatch(folder.name) and folder.is_dir():
                remove_jobs(folder)
        _remove(shards, SHARD_FILE)
        with suppress(OSError):
            (shards / MARK).unlink()
            shards.rmdir()  # somebody else's files in it stay
    for name in (*RESULTS, SETTINGS):
        for half in out.glob(f".{name}.*"):
            if re.fullmatch(HALF, half.name.removeprefix(f".{name}")):
                half.unlink(missing_ok=True)


def remove_jobs(folder: Path) -> None:
    """Remove the jobs of one shard, and their folder where nothing else is in it."""
    if folder.is_dir() and not folder.is_symlink():
        _remove(folder, JOB_FILE)
        with suppress(OSError):
            folder.rmdir()


def _remove(folder: Path, ours: re.Pattern[str]) -> None:
    for path in folder.iterdir():
        if ours.fullmatch(path.name) and (path.is_symlink() or path.is_file()):
            path.unlink(missing_ok=True)


def _foreign_files(shards: Path) -> Iterator[Path]:
    """What lies in the work and was not written by an evaluation."""
    for path in sorted(shards.iterdir()) if shards.is_dir() else ():
        if path.is_dir() and not path.is_symlink() and JOB_FOLDER.fullmatch(path.name):
            yield from (one for one in sorted(path.iterdir()) if not JOB_FILE.fullmatch(one.name))
        elif path.name != MARK and not SHARD_FILE.fullmatch(path.name):
            yield path


def _asked(path: Path) -> bool:
    """Whether a file is an evaluation's `settings.json`."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.keys() >= ASKED


def _foreign(path: Path) -> OutputError:
    return OutputError(
        f"{path}: not written by an evaluation, and never removed; move it, or choose another --out"
    )


def _there(path: Path) -> bool:
    return path.is_symlink() or path.exists()
