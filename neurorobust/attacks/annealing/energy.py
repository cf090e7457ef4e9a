"""How far a sample is from being misclassified, finer than its readout tells.

A spike count moves in whole spikes, and most changes leave it as it is: a search on counts walks
on a plain. The energy adds what is on its way to a spike. Which of its forms leads on differs from
sample to sample, so searches use them in turn; whether a sample is broken is the readout's word.
"""

from __future__ import annotations

import numpy as np

from neurorobust.backends.engine.incremental.loops import CHARGE, COUNT, LAST, NEAR
from neurorobust.backends.engine.loops import Array, compiled

# what a unit of charge, of the last membrane and of nearness counts, in spikes: each form misleads
# elsewhere
FORMS = (
    (0.0, 0.0, 1.0),
    (0.3, 0.0, 0.0),
    (0.0, 1.0, 0.0),
    (0.1, 0.0, 0.3),
    (1.0, 0.0, 0.0),
)
SIZE = 8.0  # spread of the membranes of a membrane readout at the start, in spikes


def weights(by_count: bool, now: Array, label: int, form: int) -> Array:
    """What each row of `Sample.now` counts, float64 `[4]`.

    Args:
        by_count: spikes are counted; else the last membranes are compared.
        now: the untouched sample's.
        label: its class.
        form: number of `FORMS`, any.
    """
    found = np.zeros(4)
    if not by_count:
        found[LAST] = SIZE / max(float(np.ptp(now[LAST])), 1.0)
        return found
    spikes, charge = float(now[COUNT, label]), float(now[CHARGE, label])
    unit = charge / spikes if spikes > 0 and charge > 0 else float(np.ptp(now[CHARGE]))
    level = max(float(np.abs(now[LAST]).max()), 1.0)
    by_charge, by_last, by_near = FORMS[form % len(FORMS)]
    found[COUNT], found[CHARGE] = 1.0, by_charge / max(unit, 1.0)
    found[LAST], found[NEAR] = by_last / level, by_near
    return found


@compiled
def standing(
    answers: Array, label: int, target: int, weights: Array, by_count: bool,
) -> tuple[bool, float]:  # fmt: skip
    """Whether a sample is broken, and its energy: the lower, the nearer.

    Args:
        answers: `Sample.now` or `.then`.
        label: the true class.
        target: the class to come near to; -1: any other.
        weights: of the rows of `answers`.
        by_count: spikes are counted; else the last membranes are compared.
    """
    read = answers[COUNT] if by_count else answers[LAST]
    broken, energy, own = False, np.inf, 0.0
    for row in range(4):
        own += weights[row] * answers[row, label]
    for other in range(answers.shape[1]):
        if other == label:
            continue
        if read[other] > read[label] or (other < label and read[other] == read[label]):
            broken = True
        if target < 0 or other == target:
            score = 0.0
            for row in range(4):
                score += weights[row] * answers[row, other]
            energy = min(energy, own - score)
    return broken, energy
