"""Finished jobs of one shard on disk; a resumed run loads them instead of repeating them.

A job is one clean run, one attack at one budget from one seed, one search for smallest budgets or
one targeted attack. It is taken from disk only if it received the very same samples: members of a
recipe receive what the members before them left standing, so a chain goes on only from what really
was there.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from neurorobust.evaluation import sealed
from neurorobust.evaluation.draws import Scored
from neurorobust.evaluation.query import Arrays
from neurorobust.evaluation.trial import Trial
from neurorobust.support import files

Progress: TypeAlias = Callable[[int, int, str], None]


@dataclasses.dataclass
class Count:
    """How many jobs of all shards are done; `progress` is told after each.

    Attributes:
        total: jobs of all shards.
        progress: told (done, total, what), or nobody is.
        done: so far, those of earlier runs included.
    """

    total: int
    progress: Progress | None
    done: int = 0
    _untold: bool = False

    def add(self, what: str) -> None:
        """One more job was done now."""
        self.done += 1
        self._tell(what)

    def skip(self, jobs: int = 1) -> None:
        """So many were done by an earlier run: told when the next one begins."""
        self.done += jobs
        self._untold = True

    def begin(self) -> None:
        """Work begins, or there is none left: tell what was skipped."""
        if self._untold:
            self._tell("resumed")

    def _tell(self, what: str) -> None:
        self._untold = False
        if self.progress is not None:
            self.progress(self.done, self.total, what)


class Kept:
    """The jobs of one shard, on disk.

    Args:
        folder: of this shard; made with the first job.
        answers: the run's settings and the shard, in words.
        count: of the jobs of all shards.

    Attributes:
        done: jobs of this shard that are kept.
    """

    def __init__(self, folder: Path, answers: str, count: Count) -> None:
        self.folder, self.answers, self.count, self.done = folder, answers, count, 0

    def arrays(self, name: str, given: tuple[Tensor, ...], work: Callable[[], Arrays]) -> Arrays:
        """What came of a job: from disk, or worked out and kept.

        Args:
            name: of the job, the only one of that name in the shard; also what `progress` is told.
            given: all that may differ between two runs with the same settings: the samples that
                the job received.
            work: does it.
        """
        file = hashlib.sha256(name.encode()).hexdigest()[:16] + ".npz"
        path, answers = self.folder / file, f"{self.answers} {name} {sealed.received(*given)}"
        found = _known(path, answers)
        if found is not None:
            self.done += 1
            self.count.skip()
            return found
        self.count.begin()
        found = work()
        sealed.write(path, found, answers)
        self.done += 1
        self.count.add(name)
        return found


def _known(path: Path, answers: str) -> Arrays | None:
    if not sealed.sound(path, answers):
        return None
    try:
        return sealed.read(path)
    except files.UNREADABLE:  # damaged since it was looked at
        return None


def stored(made: Trial | Scored) -> Arrays:
    """A trial or a judgement as arrays: every field that is not None."""
    found: Arrays = {}
    for field in dataclasses.fields(made):
        value = getattr(made, field.name)
        if isinstance(value, Scored):
            found |= stored(value)
        elif value is not None:
            array = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
            found[f"{_named(type(made))}/{field.name}"] = array
    return found


def restored(arrays: Arrays) -> Trial:
    """The trial that `stored` made arrays of."""
    return Trial(scored=judgement(arrays), **_fields(Trial, arrays))


def judgement(arrays: Arrays) -> Scored:
    """The judgement that `stored` made arrays of."""
    return Scored(**{"drawn": None, **_fields(Scored, arrays)})


def _fields(kind: type[Trial] | type[Scored], arrays: Arrays) -> dict[str, Any]:
    start = f"{_named(kind)}/"
    return {
        name.removeprefix(start): torch.from_numpy(array) if array.ndim else array.item()
        for name, array in arrays.items()
        if name.startswith(start)
    }


def _named(kind: type[Trial] | type[Scored]) -> str:
    return kind.__name__.lower()
