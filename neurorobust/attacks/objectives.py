"""What an attack maximises, free of the logit scale.

    margin = max over j != y of z_j  -  z_y        above 0: misclassified

A margin does not saturate, unlike a cross-entropy of raw membranes (on mnist.net at eps 0.2, PGD on
that leaves 99 % of the digits; of membranes / 1e5, 12 %). It is computed on the readout's integers
and divided, per sample, by a detached power of two, which rounds nothing: an attack's result cannot
depend on the scale written on a card.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import torch
from torch import Tensor

from neurorobust.attacks.best import Standing
from neurorobust.classifier import Classifier
from neurorobust.readouts import first_argmax
from neurorobust.types import Labels, Logits


def unscaled(classifier: Classifier) -> Classifier:
    """The same classifier with the readout's integers as logits."""
    return replace(classifier, readout=replace(classifier.readout, scale=1.0))


def margin(logits: Logits, labels: Labels) -> Tensor:
    """`max_{j != y} z_j - z_y`, `[batch]`."""
    own = torch.nn.functional.one_hot(labels, logits.shape[-1]).bool()
    other = logits.masked_fill(own, -torch.inf).amax(-1)
    return other - logits.gather(-1, labels[:, None]).squeeze(-1)


def standing(logits: Logits, labels: Labels) -> Standing:
    """Broken or not by the readout's own tie rule, and the margin."""
    return Standing((first_argmax(logits) != labels).to(logits.dtype), margin(logits, labels))


def normalised_margin(logits: Logits, labels: Labels) -> Tensor:
    """The margin over the (detached) power of two that bounds the spread of the sample's logits.

    Returns:
        `[batch]`, between -1 and 1, the sign of the margin kept.
    """
    return margin(logits, labels) / spread(logits)


def spread(logits: Logits) -> Tensor:
    """The power of two just above the spread of each sample's logits, detached; 1 for none."""
    width = (logits.amax(-1) - logits.amin(-1)).detach()
    mantissa, _ = torch.frexp(width)  # width = mantissa * 2^e, mantissa in [1/2, 1)
    return torch.where(mantissa > 0, width / mantissa, 1.0)  # 2^e, exactly


def graded(logits: Logits, unit: Tensor) -> Logits:
    """Logits for code that knows nothing of our scales and ties: made free of both.

        (z - max z) * SHARPNESS / unit        and 2^-40 more for the class that the readout names

    No two classes share the first place, and whoever takes an argmax names the readout's class.

    Args:
        logits: the readout's integers.
        unit: `[batch]`, powers of two, `spread(logits)` of one query of each sample. Fixed from
            then on: losses of one sample can be compared.
    """
    shifted = logits - logits.amax(-1, keepdim=True).detach()
    named = torch.nn.functional.one_hot(first_argmax(logits), logits.shape[-1])
    free: Tensor = shifted * (SHARPNESS / unit)[:, None] + named * 2.0**-40
    return free


Loss: TypeAlias = Callable[[Logits, Labels, "Labels | None"], Tensor]


def margin_loss(logits: Logits, labels: Labels, target: Labels | None = None) -> Tensor:
    """The normalised margin; targeted: that of the target class over the best other one."""
    if target is None:
        return normalised_margin(logits, labels)
    return -normalised_margin(logits, target)


def cross_entropy(logits: Logits, labels: Labels, target: Labels | None = None) -> Tensor:
    """Cross-entropy of the logits over their (detached) spread, times `SHARPNESS`."""
    scaled = logits * (SHARPNESS / spread(logits))[:, None]
    if target is None:
        return torch.nn.functional.cross_entropy(scaled, labels, reduction="none")
    return -torch.nn.functional.cross_entropy(scaled, target, reduction="none")


SHARPNESS = 10.0  # logits span at most this much: a loss of e^-10 is still far from underflow

# what gradient attacks maximise, by name: `[batch]`, each sample its own
LOSSES: dict[str, Loss] = {"margin": margin_loss, "ce": cross_entropy}


def mean_standing(
    classifier: Classifier,
    x: Tensor,
    labels: Labels,
    generator: torch.Generator,
    draws: int = 1,
) -> Standing:
    """How x stands, averaged over independent queries."""
    classifier = unscaled(classifier)
    total = Standing.nothing(x)
    with torch.no_grad():
        for _ in range(draws):
            total += standing(classifier.logits(x, generator), labels) / draws
    return total
