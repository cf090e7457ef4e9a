"""A recipe on one shard: each attack sees only the samples that still stand."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from neurorobust.budgets import Budget, inside
from neurorobust.evaluation.draws import Scored
from neurorobust.evaluation.query import Arrays
from neurorobust.evaluation.trial import Trial


@dataclass
class Chain:
    """One proposal for each sample, budget after budget, from the smallest.

    Attributes:
        x: where the attacks start.
        clean: what the target makes of x.
        key: of the budget at hand.
        carried: bool `[batch]`, broken at a smaller budget by what lies inside this one too.
        adversarial, scored: the proposal kept; x and `clean` where there was none. Where nothing is
            drawn it is the last one; where the encoder draws, the one that the fewest selecting
            draws get right, x itself and then the earlier one on a tie.
    """

    x: Tensor
    clean: Scored
    key: str = ""
    carried: Tensor = field(init=False)
    adversarial: Tensor = field(init=False)
    scored: Scored = field(init=False)

    def __post_init__(self) -> None:
        self.carried = torch.zeros(len(self.x), dtype=torch.bool)
        self.adversarial, self.scored = self.x, self.clean

    def begin(self, key: str, budget: Budget) -> None:
        """Turn to another budget: what did harm and lies inside it stays, all else starts anew."""
        if key == self.key:
            return
        harmed = self.scored.selecting < self.clean.selecting
        kept = harmed & inside(self.adversarial, self.x, budget)
        self.key = key
        self.carried = kept & self.clean.standing & ~self.scored.standing
        wide = kept.view(-1, *[1] * (self.x.dim() - 1))
        self.adversarial = torch.where(wide, self.adversarial, self.x)
        rows = kept.nonzero().flatten()
        self.scored = self.clean.replaced(rows, self.scored.at(rows))

    def standing(self) -> Tensor:
        """Samples right when clean and after everything so far, int64 `[n]`."""
        return (self.clean.standing & self.scored.standing).nonzero().flatten()

    def take(self, rows: Tensor, made: Trial) -> None:
        """What an attack made of these samples."""
        before = self.scored.at(rows)
        kept = ~made.failed
        if before.drawn is not None:
            kept &= made.scored.selecting < before.selecting
        better = kept.nonzero().flatten()
        self.adversarial = self.adversarial.index_copy(0, rows[better], made.adversarial[better])
        self.scored = self.scored.replaced(rows[better], made.scored.at(better))

    def arrays(self, outcome: str) -> Arrays:
        """What is stored of the budget at hand."""
        return {
            **self.scored.arrays(outcome),
            f"adversarial/{outcome}": self.adversarial.numpy(),
            f"failed/{outcome}": np.zeros(len(self.x), dtype=np.bool_),
            f"carried/{outcome}": self.carried.numpy(),
        }
