"""State leak as a request: every regime of resets, from the same samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from neurorobust.datasets import Dataset
from neurorobust.errors import BadInput
from neurorobust.evaluation.query import Arrays
from neurorobust.faults.leak import LeakSearch
from neurorobust.faults.record import LeakRow
from neurorobust.faults.request import Outcome, Task
from neurorobust.faults.sequence import REGIMES


@dataclass(frozen=True)
class LeakRequest:
    """The sample before as the perturbation.

    Attributes:
        rounds: queries a victim while crafting.
        seed: of everything random.
    """

    rounds: int = 100
    seed: int = 0
    fault: ClassVar[str] = "leak"
    learns: ClassVar[bool] = True

    def check(self) -> None:
        """Refuse rounds below 0.

        Raises:
            BadInput: so they are.
        """
        if self.rounds < 0:
            raise BadInput(f"state leak: {self.rounds} rounds, need 0 or more")

    def jobs(self, data: Dataset, known: Dataset | None) -> int:
        """Runs of all regimes."""
        assert known is not None
        return len(REGIMES) * LeakSearch(self.rounds).jobs(len(known))

    def files(self) -> tuple[str, ...]:
        """None."""
        return ()

    def work(self, task: Task) -> Outcome:
        """Search in every regime, each from the same draws."""
        assert task.known is not None
        victims, labels = task.data.batch(0, len(task.data))
        pool, _ = task.known.batch(0, len(task.known))
        search, rows = LeakSearch(self.rounds), []
        arrays: Arrays = {}
        for regime in REGIMES.values():
            found = search(
                task.classifier, regime, victims, labels, pool, task.generator(), task.kept
            )
            names = ("regime", "alone", "control", "natural", "crafted")
            rows.append(LeakRow(**{name: getattr(found, name) for name in names}))
            arrays[f"predecessor/{regime.name}"] = found.predecessor.numpy()
        return Outcome({"rounds": self.rounds, "rows": tuple(rows)}, arrays)
