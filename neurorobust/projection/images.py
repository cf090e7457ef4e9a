"""Balls of four norms around an image, cut by the box [0, 1].

With d = proposal - x and the room that the box leaves, each the nearest point in the Euclidean
sense (Lagrange; for L1 the soft threshold of Duchi et al., ICML 2008, here with a box):

    linf   clip(d, -eps, eps)
    l2     clip(s d), the largest s <= 1 that fits
    l1     clip(sign(d) max(|d| - t, 0)), the smallest t >= 0 that fits
    l0     d at the places (all channels of one) of the largest sum of d^2, 0 elsewhere

where clip is that of the box. Bounds are computed in float64 and rounded to float32 towards x; what
float64 cannot tell is decided in rational numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import torch
from torch import Tensor

from neurorobust.types import ImageBudget

ROUNDING = 1e-6  # a pixel that is farther out than allowed by less was rounded, not cheated
SURE = 2.0**-40  # float64 sums of squares are closer to the truth than this, relatively
HALVINGS = 60


def project_images(proposal: Tensor, x: Tensor, budget: ImageBudget) -> tuple[Tensor, Tensor]:
    """See `project`."""
    if budget.norm == "linf":
        return _linf(proposal, x, budget.epsilon)
    boxed = proposal.clamp(0, 1)
    outside = ((proposal < -ROUNDING) | (proposal > 1 + ROUNDING)).flatten(1).any(1)
    if budget.norm == "l0":
        projected, beyond = _l0(boxed, x, int(budget.epsilon))
        return projected, outside | beyond
    entries = x[0].numel()
    rounding = ROUNDING * (entries**0.5 if budget.norm == "l2" else entries)
    norm = _norms(boxed.double() - x.double(), budget.norm)
    beyond = ~_fits(boxed, x, norm, budget)
    projected = boxed.clone()
    if bool(beyond.any()):
        projected[beyond] = _shrink(proposal[beyond], x[beyond], budget)
    return projected, outside | (norm > budget.epsilon + rounding)


def _linf(proposal: Tensor, x: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    exact = x.to(torch.float64)
    low = _inward((exact - epsilon).clamp_min(0), torch.inf)
    high = _inward((exact + epsilon).clamp_max(1), -torch.inf)
    outside = (proposal < low - ROUNDING) | (proposal > high + ROUNDING)
    return torch.minimum(torch.maximum(proposal, low), high), outside.flatten(1).any(1)


def _inward(bound: Tensor, toward: float) -> Tensor:
    """float64 -> the nearest float32 that is not beyond it, seen from the inside."""
    rounded = bound.to(torch.float32)
    beyond = rounded > bound if toward < 0 else rounded < bound
    return torch.where(beyond, torch.nextafter(rounded, torch.full_like(rounded, toward)), rounded)


def _l0(boxed: Tensor, x: Tensor, places: int) -> tuple[Tensor, Tensor]:
    change = (boxed.double() - x.double()).square().sum(1).flatten(1)
    changed = (boxed != x).any(1).flatten(1)
    order = change.argsort(dim=1, descending=True, stable=True)[:, :places]
    kept = torch.zeros_like(changed).scatter_(1, order, True).view(len(x), 1, *x.shape[2:])
    beyond = changed.sum(1) > places
    kept |= ~beyond.view(-1, 1, 1, 1)  # of many tiny changes a square may have vanished
    return torch.where(kept, boxed, x), beyond


def _shrink(proposal: Tensor, x: Tensor, budget: ImageBudget) -> Tensor:
    """Rows that lie beyond an L2 or L1 ball -> the nearest point of ball and box."""
    start = x.to(torch.float64)
    wanted = proposal.to(torch.float64) - start

    def at(share: Tensor) -> Tensor:
        """From x (0) towards the proposal (1), along the path of nearest points of all radii."""
        part = share.view(-1, 1, 1, 1)
        if budget.norm == "l2":
            return (start + part * wanted).clamp(0, 1) - start
        threshold: Tensor = (1 - part) * wanted.abs().amax((1, 2, 3), keepdim=True)
        moved = wanted.sign() * (wanted.abs() - threshold).clamp_min(0)
        return (start + moved).clamp(0, 1) - start

    def fits(share: Tensor) -> Tensor:
        return _norms(at(share), budget.norm) <= budget.epsilon * (1 - SURE)

    change = at(_largest(fits, torch.zeros(len(x), dtype=torch.float64, device=x.device)))
    rounded = (start + change).to(x.dtype)
    farther = (rounded.double() - start).abs() > change.abs()
    projected: Tensor = torch.where(farther, torch.nextafter(rounded, x), rounded)
    return projected


def _largest(fits: Callable[[Tensor], Tensor], low: Tensor) -> Tensor:
    """The largest share in [0, 1] that fits, each row its own; 0 always fits."""
    high = torch.ones_like(low)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        good = fits(middle)
        low, high = torch.where(good, middle, low), torch.where(good, high, middle)
    return low


def _norms(change: Tensor, norm: str) -> Tensor:
    flat = change.flatten(1)
    return flat.square().sum(1).sqrt() if norm == "l2" else flat.abs().sum(1)


def _fits(boxed: Tensor, x: Tensor, norm: Tensor, budget: ImageBudget) -> Tensor:
    """Bool `[batch]`: not beyond the ball; rational numbers where float64 is too close to call."""
    inside = norm <= budget.epsilon * (1 - SURE)
    doubtful = ~inside & (norm <= budget.epsilon * (1 + SURE))
    power, limit = (2 if budget.norm == "l2" else 1), Fraction(budget.epsilon)
    for row in doubtful.nonzero().flatten().tolist():
        pairs = zip(boxed[row].flatten().tolist(), x[row].flatten().tolist(), strict=True)
        exact = sum(abs(Fraction(new) - Fraction(old)) ** power for new, old in pairs if new != old)
        inside[row] = exact <= limit**power
    return inside
