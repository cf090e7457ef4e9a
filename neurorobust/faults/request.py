"""What is asked of a fault, and what doing it is given and gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from neurorobust.classifier import Classifier
from neurorobust.datasets import Dataset
from neurorobust.evaluation.kept import Kept
from neurorobust.evaluation.query import Arrays
from neurorobust.netx.model import NetxModel


@dataclass(frozen=True)
class Task:
    """What a request works on.

    Attributes:
        classifier: on the engine.
        data: the samples that are scored.
        known: samples that the adversary has; none of `data`. None: it has none.
        kept: where finished pieces of the work are kept.
        seed: of everything random.
    """

    classifier: Classifier
    data: Dataset
    known: Dataset | None
    kept: Kept
    seed: int

    def generator(self) -> torch.Generator:
        """A fresh one, the same each time."""
        return torch.Generator().manual_seed(self.seed)


@dataclass(frozen=True)
class Outcome:
    """What came of a request.

    Attributes:
        fields: of its record, beside those that every fault has.
        arrays: for `samples.npz`.
        networks: deployed networks to write, by the name of their file.
    """

    fields: dict[str, Any]
    arrays: Arrays = field(default_factory=dict)
    networks: dict[str, NetxModel] = field(default_factory=dict)


class FaultRequest(Protocol):
    """One fault with its settings, a frozen dataclass.

    Attributes:
        fault: its name, a key of `record.RECORDS`.
        learns: whether the adversary needs samples of its own.
        seed: of everything random.
    """

    @property
    def fault(self) -> str:
        """See above."""
        ...

    @property
    def learns(self) -> bool:
        """See above."""
        ...

    @property
    def seed(self) -> int:
        """See above."""
        ...

    def check(self) -> None:
        """Refuse, before any work, what cannot be asked.

        Raises:
            BadInput: naming it.
        """
        ...

    def jobs(self, data: Dataset, known: Dataset | None) -> int:
        """Pieces of the work that are kept, at most."""
        ...

    def files(self) -> tuple[str, ...]:
        """Names of the networks that it may write."""
        ...

    def work(self, task: Task) -> Outcome:
        """Do it."""
        ...
