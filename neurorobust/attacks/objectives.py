"""What an attack maximises: the margin, free of the logit scale.

    margin = max over j != y of z_j  -  z_y        above 0: misclassified

A margin does not saturate, unlike a cross-entropy of raw membranes (on mnist.net at eps 0.2, PGD on
that leaves 99 % of the digits; of membranes / 1e5, 12 %). It is computed on the readout's integers
and divided, per sample, by a detached power of two, which rounds nothing: an attack's result cannot
depend on the scale written on a card.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from neurorobust.attacks.best import Standing
from neurorobust.classifier import Classifier
from neurorobust.readout import first_argmax
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
    spread = (logits.amax(-1) - logits.amin(-1)).detach()
    mantissa, _ = torch.frexp(spread)  # spread = mantissa * 2^e, mantissa in [1/2, 1)
    unit = torch.where(mantissa > 0, spread / mantissa, 1.0)  # 2^e, exactly
    return margin(logits, labels) / unit


def margin_gradient(
    classifier: Classifier,
    x: Tensor,
    labels: Labels,
    generator: torch.Generator,
    draws: int = 1,
) -> tuple[Tensor, Standing]:
    """The gradient of the normalised margin with respect to x, averaged over independent queries.

    Args:
        classifier: on a differentiable backend.
        x: images or spikes; left as it is.
        labels: true classes.
        generator: feeds random encoders; every query draws afresh.
        draws: number of queries (expectation over transformation, Athalye et al., ICML 2018).

    Returns:
        gradient (float32, x's shape; what is not finite is set to 0), and how x stands.
    """
    classifier = unscaled(classifier)
    gradient, total = torch.zeros_like(x, dtype=torch.float32), Standing.nothing(x)
    for _ in range(draws):
        point = x.detach().to(torch.float32, copy=True).requires_grad_()
        with torch.set_grad_enabled(True):
            logits = classifier.logits(point, generator)
            (one,) = torch.autograd.grad(normalised_margin(logits, labels).sum(), point)
        gradient += torch.nan_to_num(one, nan=0.0, posinf=0.0, neginf=0.0) / draws
        total += standing(logits.detach(), labels) / draws
    return gradient, total


def mean_standing(
    classifier: Classifier,
    x: Tensor,
    labels: Labels,
    generator: torch.Generator,
    draws: int = 1,
) -> Standing:
    """The second half of `margin_gradient` alone."""
    classifier = unscaled(classifier)
    total = Standing.nothing(x)
    with torch.no_grad():
        for _ in range(draws):
            total += standing(classifier.logits(x, generator), labels) / draws
    return total
