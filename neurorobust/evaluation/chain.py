"""A recipe on one shard: each attack sees only the samples that still stand."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from neurorobust.evaluation.attempt import Attempt
from neurorobust.evaluation.query import Arrays, pack
from neurorobust.projection import inside
from neurorobust.types import Budget, Labels, Spikes


@dataclass
class Chain:
    """The last proposal for each sample, budget after budget, from the smallest.

    Attributes:
        x: where the attacks start.
        labels: true classes.
        clean: what the target says of x.
        drawn: the spikes behind `clean`, of a random encoder (packed).
        key: of the budget at hand.
        carried: bool `[batch]`, broken at a smaller budget by what lies inside this one too.
        adversarial, predicted: of the last proposal; x and `clean` where there was none.
    """

    x: Tensor
    labels: Labels
    clean: Labels
    drawn: Spikes | None
    key: str = ""
    carried: Tensor = field(init=False)
    adversarial: Tensor = field(init=False)
    predicted: Labels = field(init=False)

    def __post_init__(self) -> None:
        self._clean_draw = None if self.drawn is None else pack(self.drawn)
        self._draw = self._clean_draw
        self.carried = torch.zeros(len(self.x), dtype=torch.bool)
        self.adversarial, self.predicted = self.x, self.clean

    def begin(self, key: str, budget: Budget) -> None:
        """Turn to another budget: successes that lie inside it stay, all else starts anew."""
        if key == self.key:
            return
        broken = (self.clean == self.labels) & (self.predicted != self.labels)
        self.key, self.carried = key, broken & inside(self.adversarial, self.x, budget)
        kept = self.carried.view(-1, *[1] * (self.x.dim() - 1))
        self.adversarial = torch.where(kept, self.adversarial, self.x)
        self.predicted = torch.where(self.carried, self.predicted, self.clean)
        if self._draw is not None and self._clean_draw is not None:
            self._draw = np.where(self.carried.numpy()[:, None], self._draw, self._clean_draw)

    def standing(self) -> Tensor:
        """Samples right when clean and after everything so far, int64 `[n]`."""
        right = (self.clean == self.labels) & (self.predicted == self.labels)
        return right.nonzero().flatten()

    def take(self, rows: Tensor, made: Attempt) -> None:
        """What an attack made of these samples."""
        sound = ~made.failed
        rows = rows[sound]
        self.adversarial[rows] = made.adversarial[sound]
        self.predicted[rows] = made.predicted[sound]
        if self._draw is not None and made.drawn is not None:
            self._draw[rows.numpy()] = pack(made.drawn)[sound.numpy()]

    def arrays(self, outcome: str) -> Arrays:
        """What is stored of the budget at hand."""
        found: Arrays = {
            f"predicted/{outcome}": self.predicted.numpy(),
            f"adversarial/{outcome}": self.adversarial.numpy(),
            f"failed/{outcome}": np.zeros(len(self.x), dtype=np.bool_),
            f"carried/{outcome}": self.carried.numpy(),
        }
        if self._draw is not None:
            found[f"drawn/{outcome}"] = self._draw
        return found
