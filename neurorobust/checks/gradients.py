"""Gradients that are not there, not averaged, or chosen blindly."""

from __future__ import annotations

from collections.abc import Iterator

from neurorobust.checks.rows import Rows
from neurorobust.records import Record

ZERO_GRADIENTS = 0.05  # share of samples without any gradient at the start point
QUERIES = 10  # independent draws a gradient should average where the encoder draws


def zero(record: Record, rows: Rows) -> Iterator[str]:
    """Samples without any gradient; of a recipe only where no other mode of it has one."""
    shares = {
        name: (rate.zero_gradient, rate.asked is not None)
        for _, robust in rows
        for name, rate in robust.by_attack.items()
        if rate.zero_gradient is not None
    }
    best = min((share for share, member in shares.values() if member), default=1.0)
    for name, (share, member) in shares.items():
        if share > ZERO_GRADIENTS and not (member and best <= ZERO_GRADIENTS):
            yield (
                f"{name}: {share:.0%} of the samples have no gradient at all at the start point "
                f"(limit {ZERO_GRADIENTS:.0%}): gradients are masked, robustness is overestimated"
            )


def settings(record: Record) -> Iterator[str]:
    """No gradient at all, or one that follows the noise of a random encoder."""
    if not record.attacks:
        return
    if not any(record.is_white_box(name) for name in record.attacks):
        yield "no white-box attack was run: controls alone say little about robustness"
    if record.card.encoder.kind != "poisson":
        return
    for name, settings in record.attacks.items():
        on_images = record.is_white_box(name) and settings["domain"] == "images"
        if on_images and settings.get("draws", 1) < QUERIES:
            yield (
                f"{name}: {settings.get('draws', 1)} draws of the random encoder a gradient, need "
                f"{QUERIES}: without averaging the attack follows noise"
            )


def choice(record: Record) -> Iterator[str]:
    """A recipe that had nothing to choose its strongest mode on."""
    recipe = record.recipe
    if recipe is not None and recipe.strongest is not None and recipe.chosen_on is None:
        yield (
            f"{recipe.name}: no samples but the evaluated ones, so the mode of its later attacks "
            f"({recipe.strongest}) is not known to be the strongest"
        )
