"""Weight bits as a request: search them on known samples, score each number on others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neurorobust.attacks.modes import PLAIN, find_mode
from neurorobust.datasets import Dataset
from neurorobust.errors import BadInput
from neurorobust.faults.bits import Samples, Search, random_flips
from neurorobust.faults.curve import curve
from neurorobust.faults.memory import flipped
from neurorobust.faults.request import Outcome, Task

COUNTS = (1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True)
class BitsRequest:
    """The most harmful weight bits, and as many at random.

    Attributes:
        counts: numbers of flipped bits.
        candidates: bits of each matrix tried in a round of the search.
        repeats: repetitions of the random control.
        mode: name of the search's backward mode.
        seed: of everything random.
    """

    counts: tuple[int, ...] = COUNTS
    candidates: int = 4
    repeats: int = 5
    mode: str = PLAIN.name
    seed: int = 0
    fault: ClassVar[str] = "bits"
    learns: ClassVar[bool] = True

    def check(self) -> None:
        """Refuse numbers below 1 and an unknown mode.

        Raises:
            BadInput: naming it.
        """
        find_mode(self.mode)
        if not self.counts:
            raise BadInput("weight bits: no number of bits given, need for example 1, 10")
        for count in (*self.counts, self.candidates, self.repeats):
            if count < 1:
                raise BadInput(f"weight bits: {count} below 1")

    def jobs(self, data: Dataset, known: Dataset | None) -> int:
        """Rounds of the search, and scored numbers."""
        return max(self.counts) + 1 + len(set(self.counts))

    def files(self) -> tuple[str, ...]:
        """`<bits>.net` for every number."""
        return tuple(f"{count}.net" for count in sorted(set(self.counts)))

    def work(self, task: Task) -> Outcome:
        """Search, flip at random, score; numbers beyond the bits that exist are left out."""
        assert task.known is not None
        model, generator = task.classifier.backend.model, task.generator()
        seen = Samples.of(task.classifier, *task.known.batch(0, len(task.known)), generator)
        test = Samples.of(task.classifier, *task.data.batch(0, len(task.data)), generator)
        search, most = Search(self.candidates, find_mode(self.mode)), max(self.counts)
        found = search(task.classifier, seen, most, task.kept)
        control = [
            random_flips(model, most, np.random.default_rng([self.seed, repeat]))
            for repeat in range(self.repeats)
        ]
        most = min(len(found), len(control[0]))
        usable = [count for count in sorted(set(self.counts)) if count <= most]
        scored = curve(task.classifier, test, found, control, [0, *usable], task.kept)
        return Outcome(
            {
                "mode": self.mode,
                "candidates": self.candidates,
                "repeats": self.repeats,
                "rows": scored.rows,
                "flips": found,
            },
            {f"predicted/{name}": labels for name, labels in scored.predicted.items()},
            {f"{count}.net": flipped(model, found[:count]) for count in usable},
        )
