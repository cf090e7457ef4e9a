"""The fewest changed spikes by which an attack breaks each sample."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from neurorobust.attacks.base import Attack
from neurorobust.attacks.feasible import Feasible
from neurorobust.budgets import SpikeBudget
from neurorobust.classifier import Classifier
from neurorobust.types import Labels


def fewest_flips(
    attack: Attack,
    classifier: Classifier,
    x: Tensor,
    labels: Labels,
    budget: SpikeBudget,
    generator: torch.Generator,
    halvings: int = 3,
) -> Tensor:
    """What was really changed in the sparsest proposal that breaks, each sample its own.

    An attack that makes its answers sparse (`halvings` 0) is called once with the whole budget.
    Any other is called with 1, 2, 4, ... flips, then between the last that failed and the number
    that sufficed. Nothing here is monotone for certain: the answer is an upper bound.

    Args:
        attack: on flips.
        classifier: the target.
        x: spikes uint8 `[batch, C, H, W, time]`.
        labels: true classes.
        budget: the largest; its sides and region hold for all.
        generator: feeds the attack.
        halvings: of the gap at the end; 0: one call with the whole budget.

    Returns:
        float64 `[batch]`: 0 where x is misclassified already, infinity where it was not broken:
        a failure, which belongs into the denominator of every mean and median.
    """
    fewest = torch.full((len(x),), torch.inf, dtype=torch.float64)
    fewest[classifier.predict(x, generator) != labels] = 0
    failed = torch.zeros(len(x), dtype=torch.float64)

    def ask(rows: Tensor, flips: int) -> None:
        found = attack(classifier, x[rows], labels[rows], replace(budget, flips=flips), generator)
        allowed = Feasible.of(attack.name, x[rows], budget).inside((found != x[rows]).flatten(1))
        broken = (classifier.predict(found, generator) != labels[rows]) & allowed
        used = (found != x[rows]).flatten(1).sum(1).double()
        fewest[rows[broken]] = torch.minimum(fewest[rows[broken]], used[broken])
        failed[rows[~broken]] = torch.maximum(failed[rows[~broken]], torch.tensor(float(flips)))

    if halvings == 0:
        ask((fewest > 0).nonzero().flatten(), budget.flips)
        return fewest
    flips = 1
    while bool(torch.isinf(fewest).any()) and flips < 2 * budget.flips:
        ask(torch.isinf(fewest).nonzero().flatten(), min(flips, budget.flips))
        flips *= 2
    for _ in range(halvings):
        middle = torch.where(torch.isinf(fewest), 0, ((failed + fewest) / 2).floor())
        for size in sorted(set(middle[(middle > failed) & (middle < fewest)].tolist())):
            rows = ((middle == size) & (middle > failed) & (middle < fewest)).nonzero().flatten()
            ask(rows, int(size))
    return fewest


def median(fewest: Tensor) -> float:
    """The middle of the numbers above 0 (of two the larger); infinity where most failed."""
    tried = fewest[fewest > 0].sort().values
    return float(tried[len(tried) // 2]) if len(tried) else float("nan")
