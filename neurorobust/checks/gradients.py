"""Gradients that are not there, not averaged, or chosen blindly."""

from __future__ import annotations

from collections.abc import Iterator

from neurorobust.checks.rows import Rows
from neurorobust.records import Record

ZERO_GRADIENTS = 0.05  # share of samples without any gradient at the start point
BLIND = 0.5  # share of samples from which a mode of a recipe sees nothing
BLIND_MEMBERS = 0.2  # share of such modes that says something of the network
QUERIES = 10  # independent draws a gradient should average where the encoder draws


def zero(record: Record, rows: Rows) -> Iterator[str]:
    """Samples without any gradient: of one attack, or of many modes of a recipe.

    Some modes of a recipe may see nothing on a sound network (a rate has no slope where a neuron is
    silent): that is why it has several.
    """
    shares: dict[bool, dict[str, float]] = {True: {}, False: {}}
    for robust in rows:
        for name, rate in robust.by_attack.items():
            if rate.zero_gradient is not None:
                shares[rate.asked is not None][name] = rate.zero_gradient
    for name, share in shares[False].items():
        if share > ZERO_GRADIENTS:
            yield (
                f"{name}: {share:.0%} of the samples have no gradient at all at the start point "
                f"(limit {ZERO_GRADIENTS:.0%}): gradients are masked, robustness is overestimated"
            )
    blind = [name for name, share in shares[True].items() if share > BLIND]
    if blind and len(blind) >= BLIND_MEMBERS * len(shares[True]):
        yield (
            f"{len(blind)} of {len(shares[True])} attacks of the recipe have no gradient at all on "
            f"more than {BLIND:.0%} of the samples ({', '.join(blind)}): the network hides its "
            "gradients from common surrogates"
        )


def settings(record: Record) -> Iterator[str]:
    """No gradient at all, or one that follows the noise of a random encoder."""
    if not record.attacks:
        return
    if not any(record.is_white_box(name) for name in record.attacks):
        yield "no white-box attack was run: controls alone say little about robustness"
    if not record.card.encoder.code.random:
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
