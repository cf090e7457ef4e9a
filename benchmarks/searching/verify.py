"""What is called broken is held to the budget and to two targets, by code of its own."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from neurorobust.budgets import Budget, ImageBudget, SpikeBudget
from neurorobust.classifier import Classifier
from searching.delta_network import Array


def complaint(found: Tensor, x: Tensor, budget: Budget) -> str | None:
    """Why a point is not in the budget; None: it is.

    Args:
        found: one proposal.
        x: the raw sample, float32 `[C, H, W]` in [0, 1] or uint8 spikes `[C, H, W, T]`.
        budget: L-infinity, or a number of flips.
    """
    if found.shape != x.shape or found.dtype != x.dtype:
        return f"{found.dtype} {tuple(found.shape)}, not {x.dtype} {tuple(x.shape)}"
    proposal, raw = found.numpy(), x.numpy()
    if isinstance(budget, SpikeBudget):
        return _spikes(proposal, raw, budget.flips)
    assert isinstance(budget, ImageBudget)
    return _pixels(proposal, raw, budget.epsilon)


def _spikes(proposal: Array, raw: Array, flips: int) -> str | None:
    if int(proposal.max(initial=0)) > 1:
        return f"spike value {int(proposal.max())}"
    used = int(np.count_nonzero(proposal != raw))
    return f"{used} flips of {flips}" if used > flips else None


def _pixels(proposal: Array, raw: Array, epsilon: float) -> str | None:
    if not np.isfinite(proposal).all():
        return "not finite"
    if float(proposal.min()) < 0 or float(proposal.max()) > 1:
        return f"pixels from {float(proposal.min())} to {float(proposal.max())}, outside [0, 1]"
    moved = float(np.abs(proposal.astype(np.float64) - raw.astype(np.float64)).max())
    return f"a pixel moved by {moved!r}, more than {epsilon!r}" if moved > epsilon else None


def verdicts(
    found: Tensor, x: Tensor, labels: Tensor, budget: Budget, targets: dict[str, Classifier]
) -> list[str | None]:
    """Of each proposal why it does not count; None: it is inside, and wrong on every target.

    Args:
        found: proposals.
        x: raw samples.
        labels: true classes.
        budget: as asked.
        targets: the same network on several backends, by name.
    """
    reasons = [complaint(found[row], x[row], budget) for row in range(len(x))]
    sound = [row for row, reason in enumerate(reasons) if reason is None]
    if sound:
        for name, target in targets.items():
            answers = target.predict(found[sound])
            for row, answer in zip(sound, answers.tolist(), strict=True):
                if answer == int(labels[row]) and reasons[row] is None:
                    reasons[row] = f"{name} still says {answer}"
    return reasons
