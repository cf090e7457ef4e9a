"""Which backward mode breaks most samples, found on samples that are never scored."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch

from neurorobust.attacks.base import Attack, domain
from neurorobust.attacks.modes import find_mode
from neurorobust.attacks.recipes import Recipe
from neurorobust.attacks.spike_view import spike_view
from neurorobust.classifier import Classifier
from neurorobust.datasets.base import Dataset
from neurorobust.evaluation.query import one_thread, score
from neurorobust.evaluation.seeds import fork
from neurorobust.evaluation.sift import sift
from neurorobust.projection import project
from neurorobust.sizes import scaled
from neurorobust.types import Budget, Labels

HELD_OUT = 64  # validation samples, at most
SHARES = (1.0, 0.5, 0.25)  # of the budget: where the whole of it breaks everything, less may not


def held_out(
    whole: Dataset, evaluated: int, train: Callable[[], Dataset] | None = None
) -> Dataset | None:
    """Samples that no evaluation of the first `evaluated` ones scores.

    The last `HELD_OUT` of the set where so many lie beyond the evaluated ones; else the last of the
    training split; None where there is none (`all`: one split serves as both).
    """
    source = whole
    if len(whole) - evaluated < HELD_OUT:
        if train is None or whole.split == "all":
            return None
        source = train()
    last = source.x[-HELD_OUT:], source.y[-HELD_OUT:]
    return Dataset(source.name, source.split, *last, source.classes)


def broken_by_mode(
    classifier: Classifier, recipe: Recipe, data: Dataset, budget: Budget, seed: int
) -> dict[str, tuple[int, int]]:
    """For every mode: how many of the validation samples it breaks, over `SHARES` of the budget.

    Returns:
        mode -> (broken, asked: right when clean, once for each share).
    """
    found = {}
    with one_thread():
        x, labels = data.batch(0, len(data))
        target = classifier
        if domain(recipe.chooser) == "spikes":
            target, x = spike_view(classifier, x, fork(seed, "validation"))
        clean, _ = score(target, x, fork(seed, "validation", "clean"))
        right = clean == labels
        for mode in recipe.modes:
            chooser: Any = recipe.chooser
            attack = dataclasses.replace(chooser, mode=find_mode(mode))
            count = sum(
                broken(target, x[right], labels[right], attack, scaled(budget, share), seed, share)
                for share in SHARES
            )
            found[mode] = (count, int(right.sum()) * len(SHARES))
    return found


def broken(
    target: Classifier,
    x: torch.Tensor,
    labels: Labels,
    attack: Attack,
    budget: Budget,
    seed: int,
    *words: str | float,
) -> int:
    """How many an attack breaks, re-run on the target."""
    return int(mask(target, x, labels, attack, budget, seed, *words).sum())


def mask(
    target: Classifier,
    x: torch.Tensor,
    labels: Labels,
    attack: Attack,
    budget: Budget,
    seed: int,
    *words: str | float,
) -> torch.Tensor:
    """Which an attack breaks, re-run on the target: bool `[batch]`."""
    if len(x) == 0:
        return torch.zeros(0, dtype=torch.bool)
    generator = fork(seed, "validation", attack.name, *words)
    proposal = attack(target, x.clone(), labels.clone(), budget, generator)
    usable, failed = sift(proposal, x)
    adversarial, _ = project(usable, x, budget)
    predicted, _ = score(target, adversarial, fork(seed, "validation", "score", *words))
    return (predicted != labels) & ~failed


def best_mode(counts: dict[str, tuple[int, int]]) -> str:
    """The mode that broke most; of equals the first."""
    return max(counts, key=lambda mode: counts[mode][0])
