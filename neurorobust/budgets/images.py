"""`--eps`: balls of four norms around an image, cut by the box [0, 1].

Typed as 0.1, 8/255, l2:0.5, l1:10 or l0:5; in pixels, L-infinity unless it says so.

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
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from neurorobust.budgets.base import Budget, BudgetKind, Scale
from neurorobust.errors import BadInput

if TYPE_CHECKING:  # options and cards name budgets without torch
    from torch import Tensor

ROUNDING = 1e-6  # a pixel that is farther out than allowed by less was rounded, not cheated
SURE = 2.0**-40  # float64 sums of squares are closer to the truth than this, relatively
HALVINGS = 60


def _ball(norm: str, axis: str, how: str, may: str, legend: str) -> Scale:
    return Scale(norm, "ε", "ε", f"ε, {axis}", how, may, "at {}", legend)


_ALL = (
    _ball(
        "linf",
        "largest change of a pixel",
        "how far a pixel may change (ε)",
        "change every pixel by at most ε (L∞; pixels lie in 0 to 1), ε = {}",
        "ε: how far each pixel may change (black 0, white 1)",
    ),
    _ball(
        "l2",
        "L2 distance",
        "how far a picture may move (L2)",
        "move a picture in L2 by {}",
        "ε with l2: how far a picture may move, by the L2 norm of its pixels (black 0, white 1)",
    ),
    _ball(
        "l1",
        "L1 distance",
        "how far a picture may move (L1)",
        "move a picture in L1 by {}",
        "ε with l1: how far a picture may move, summed over its pixels (black 0, white 1)",
    ),
    _ball(
        "l0",
        "pixels changed",
        "how many pixels may change (L0)",
        "change as many pixels as {}",
        "ε with l0: how many pixels may change",
    ),
)
SCALES = {scale.name: scale for scale in _ALL}
NORMS = tuple(SCALES)


@dataclass(frozen=True)
class ImageBudget(Budget):
    """How far one image may move.

    Attributes:
        epsilon: radius in pixel units, before any normalisation; `linf`: at most 1; `l0`: number
            of pixels (all channels of a place are one pixel).
        norm: `linf`, `l2`, `l1` or `l0`, over all of C, H, W.
    """

    epsilon: float
    norm: str = "linf"
    kind = "eps"

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise BadInput(f"budget: norm {self.norm!r} unknown, known: {', '.join(NORMS)}")
        if self.norm == "linf" and not 0 <= self.epsilon <= 1:
            raise BadInput(
                f"budget: eps {self.epsilon} outside [0, 1] (pixel units, before any normalisation)"
            )
        if not 0 <= self.epsilon < float("inf"):
            raise BadInput(f"budget: {self.norm} eps {self.epsilon} is not a size (0 or above)")

    @property
    def size(self) -> float:
        """The radius."""
        return self.epsilon

    @property
    def whole(self) -> bool:
        """In L0 pixels are counted."""
        return self.norm == "l0"

    @property
    def scale(self) -> Scale:
        """Its norm's."""
        return SCALES[self.norm]

    def contains(self, small: Budget) -> bool:
        """Of the same norm, and no larger."""
        return (
            isinstance(small, ImageBudget)
            and self.norm == small.norm
            and small.epsilon <= self.epsilon
        )

    def resized(self, value: float) -> ImageBudget:
        """The same norm."""
        return replace(self, epsilon=value)

    def project(self, proposal: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest point of ball and box."""
        return project_images(proposal, x, self)


def parse(text: str) -> ImageBudget:
    """`0.1`, `8/255`, `l2:0.5`.

    Raises:
        BadInput: an unknown norm, not a number, NaN, below 0, or (L-infinity) outside [0, 1].
    """
    norm, colon, number = text.partition(":")
    if not colon:
        norm, number = "linf", text
    if norm not in NORMS:
        raise BadInput(f"eps {text!r}: norm {norm!r} unknown, known: {', '.join(NORMS)}")
    above, slash, below = number.partition("/")
    try:
        value = float(above) / float(below) if slash else float(above)
    except (ValueError, ZeroDivisionError):
        raise BadInput(f"eps {text!r}: not a number, need for example 0.1 or 8/255") from None
    if norm == "linf" and not 0 <= value <= 1:
        raise BadInput(f"eps {text!r}: outside [0, 1] (pixel units, before any normalisation)")
    if not 0 <= value < float("inf"):
        raise BadInput(f"eps {text!r}: not a size (0 or above)")
    return ImageBudget(value, norm)


KIND = BudgetKind(
    budget=ImageBudget,
    domain="images",
    examples=("0.1", "8/255", "l2:1.5", "l1:10", "l0:20"),
    option="Pixel budgets: 0.05,0.1 or 8/255 or l2:0.5.",
    about="pixels in [0, 1], by so much in L-infinity, L2 or L1, or so many of them (l0)",
    heading="Attacks on images",
    attack="pgd-linf",
    compared_by="pgd-linf",
    parse=parse,
    words="ε = {}".format,
    scales=tuple(SCALES.values()),
)


def project_images(proposal: Tensor, x: Tensor, budget: ImageBudget) -> tuple[Tensor, Tensor]:
    """See `ImageBudget.project`."""
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
    import torch

    exact = x.to(torch.float64)
    low = _inward((exact - epsilon).clamp_min(0), torch.inf)
    high = _inward((exact + epsilon).clamp_max(1), -torch.inf)
    outside = (proposal < low - ROUNDING) | (proposal > high + ROUNDING)
    return torch.minimum(torch.maximum(proposal, low), high), outside.flatten(1).any(1)


def _inward(bound: Tensor, toward: float) -> Tensor:
    """float64 -> the nearest float32 that is not beyond it, seen from the inside."""
    import torch

    rounded = bound.to(torch.float32)
    beyond = rounded > bound if toward < 0 else rounded < bound
    return torch.where(beyond, torch.nextafter(rounded, torch.full_like(rounded, toward)), rounded)


def _l0(boxed: Tensor, x: Tensor, places: int) -> tuple[Tensor, Tensor]:
    import torch

    change = (boxed.double() - x.double()).square().sum(1).flatten(1)
    changed = (boxed != x).any(1).flatten(1)
    order = change.argsort(dim=1, descending=True, stable=True)[:, :places]
    kept = torch.zeros_like(changed).scatter_(1, order, True).view(len(x), 1, *x.shape[2:])
    beyond = changed.sum(1) > places
    kept |= ~beyond.view(-1, 1, 1, 1)  # of many tiny changes a square may have vanished
    return torch.where(kept, boxed, x), beyond


def _shrink(proposal: Tensor, x: Tensor, budget: ImageBudget) -> Tensor:
    """Rows that lie beyond an L2 or L1 ball -> the nearest point of ball and box."""
    import torch

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
    import torch

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
