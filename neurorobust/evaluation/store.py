"""The directory of one evaluation: finished work while it runs, the record and the samples after.

settings.json             what was asked; a run with other settings is not resumed from it
shards/00000/<job>.npz    one finished job each, until its shard is
shards/00000.npz          one finished shard each
samples.npz               the arrays of all samples
record.json               written last; `shards` is gone then

Each is whole or absent. What lies in `shards` is sealed (`sealed`): what is damaged, or was made
with other settings, counts as absent.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neurorobust.errors import OutputError
from neurorobust.evaluation import folder, sealed
from neurorobust.evaluation.folder import RECORD, SAMPLES, SETTINGS, SHARDS
from neurorobust.evaluation.kept import Count, Kept
from neurorobust.evaluation.query import Arrays
from neurorobust.evaluation.version1 import upgraded
from neurorobust.records import Record
from neurorobust.support import files, schema

RECORD_BYTES = 16 << 20  # that a record may have
EPOCH = (1980, 1, 1, 0, 0, 0)  # zip entries carry no time: the same samples are the same bytes


def read_record(out: Path) -> Record:
    """The record of a finished evaluation.

    Raises:
        BadInput: missing, too large, not JSON or not a record of version 1 or 2.
    """
    path = out / RECORD
    return schema.read(
        path, Record, str(path), limit=RECORD_BYTES, required=("version",), upgrade=upgraded
    )


def write_record(out: Path, record: Record) -> None:
    """Write `record.json` atomically."""
    files.write_text(out / RECORD, record.model_dump_json(indent=2) + "\n")


def load_samples(out: Path) -> Arrays:
    """Every array of `samples.npz`.

    Raises:
        BadInput: missing or damaged.
    """
    return files.read_npz(out / SAMPLES)


class Store:
    """One output directory, which the caller has locked (`neurorobust.support.lock`).

    Args:
        out: the directory.
        settings: what was asked, as JSON values.
        resume: go on with what an earlier run with the same settings left.
        overwrite: remove what an earlier run left.

    Raises:
        OutputError: holds a result (and neither flag is given) or one with other settings, or a
            file of somebody else's under a name that is needed.
    """

    def __init__(
        self, out: Path, settings: Mapping[str, Any], resume: bool, overwrite: bool
    ) -> None:
        self.out = out
        self.shards = out / SHARDS
        settings = json.loads(json.dumps(settings))
        self.answers = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        if resume and overwrite:
            raise OutputError(f"{out}: resume and overwrite exclude each other")
        folder.require_ours(out)
        if overwrite:
            folder.clear(out)
        if folder.occupied(out) and not overwrite:
            if not resume:
                raise OutputError(f"{out}: already holds a result; --resume or --overwrite")
            self._compare(settings)
        else:
            files.write_text(out / SETTINGS, json.dumps(settings, indent=2) + "\n")
        folder.begin(out)

    @property
    def finished(self) -> bool:
        """Whether record and samples are there."""
        return (self.out / RECORD).is_file() and (self.out / SAMPLES).is_file()

    def has(self, number: int) -> bool:
        """Whether a shard is there, undamaged and with these settings."""
        return sealed.sound(self._shard(number), self._answers(number))

    def kept(self, number: int, count: Count) -> Kept:
        """The jobs of a shard that is not finished."""
        return Kept(self._jobs(number), self._answers(number), count)

    def noted(self, name: str) -> Any:
        """What `note` left under that name; None: nothing."""
        path, answers = self.shards / f"{name}.npz", f"{self.answers} {name}"
        if not sealed.sound(path, answers):
            return None
        return json.loads(str(sealed.read(path)["json"]))

    def note(self, name: str, values: Any) -> None:
        """Keep JSON values beside the shards, until the record is there."""
        arrays: Arrays = {"json": np.asarray(json.dumps(values))}
        sealed.write(self.shards / f"{name}.npz", arrays, f"{self.answers} {name}")

    def save(self, number: int, arrays: Arrays) -> None:
        """Write one shard; it takes the place of its jobs."""
        sealed.write(self._shard(number), arrays, self._answers(number))
        folder.remove_jobs(self._jobs(number))

    def load(self, number: int, *prefixes: str) -> Arrays:
        """The arrays of one shard whose names start with one of the prefixes (all without any).

        Raises:
            OutputError: the shard was damaged since it was written or looked at.
        """
        path = self._shard(number)
        try:
            return sealed.read(path, *prefixes)
        except files.UNREADABLE as error:
            raise OutputError(
                f"{path}: damaged ({_one_line(error)}); --resume does it anew"
            ) from error

    def gather(self, count: int, *prefixes: str) -> Arrays:
        """Small arrays of all shards, joined along the samples (seconds: stacked)."""
        parts = [self.load(number, *prefixes) for number in range(count)]
        join = {name: np.stack if parts[0][name].ndim == 0 else np.concatenate for name in parts[0]}
        return {name: join[name]([part[name] for part in parts]) for name in parts[0]}

    def finish(self, count: int, extra: Arrays, record: Record) -> None:
        """Write `samples.npz` (one array of one shard in memory at a time), then the record."""
        with (
            files.atomic(self.out / SAMPLES) as temporary,
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        ):
            names = [name for name, array in self.load(0).items() if array.ndim]
            rows = sum(len(self.load(number, "label")["label"]) for number in range(count))
            for name in names:
                parts = (self.load(number, name)[name] for number in range(count))
                _write(archive, name, rows, parts)
            for name, array in extra.items():
                _write(archive, name, len(array), iter((array,)))
        write_record(self.out, record)
        self.clean_up()

    def clean_up(self) -> None:
        """Remove the work, and what a killed run left half written."""
        folder.clean_up(self.out)

    def _answers(self, number: int) -> str:
        return f"{self.answers} shard {number}"

    def _shard(self, number: int) -> Path:
        return self.shards / f"{number:05d}.npz"

    def _jobs(self, number: int) -> Path:
        return self.shards / f"{number:05d}"

    def _compare(self, settings: Mapping[str, Any]) -> None:
        path = self.out / SETTINGS
        try:
            found = dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise OutputError(f"{path}: cannot be read, cannot resume; --overwrite") from error
        then, now = dict(_flat(found)), dict(_flat(settings))
        for name in (*now, *then):
            if then.get(name) != now.get(name):
                raise OutputError(
                    f"{self.out}: holds a run with other settings: {name} was "
                    f"{json.dumps(then.get(name))}, now {json.dumps(now.get(name))}; --overwrite"
                )


def _write(archive: zipfile.ZipFile, name: str, rows: int, parts: Iterator[Any]) -> None:
    """One npy entry of `rows` rows, written part by part."""
    first = next(parts)
    npy: Any = np.lib.format
    header = {
        "descr": npy.dtype_to_descr(first.dtype),
        "fortran_order": False,
        "shape": (rows, *first.shape[1:]),
    }
    entry = zipfile.ZipInfo(f"{name}.npy", EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    with archive.open(entry, "w", force_zip64=True) as stream:
        npy.write_array_header_1_0(stream, header)
        for part in itertools.chain((first,), parts):
            stream.write(np.ascontiguousarray(part).tobytes())


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """`{"card": {"steps": 16}}` -> `card.steps`, 16."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
