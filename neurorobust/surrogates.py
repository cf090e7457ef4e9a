"""What the backward pass believes of the spike: plain values, no code of the engine.

With x = (v - theta) / (width * theta), v before the reset and theta = vThMant << 6, the derivative
of a spike with respect to v is taken as shape(x) / (width * theta):

    fast-sigmoid   1 / (1 + |x|)^2              Zenke & Ganguli, Neural Computation 30 (2018)
    triangle       max(0, 1 - |x|)              Esser et al., PNAS 113 (2016)
    atan           1 / (1 + (pi x / 2)^2)       Fang et al., ICCV 2021
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from neurorobust.errors import BadInput

SHAPES = ("fast-sigmoid", "triangle", "atan")


@dataclass(frozen=True)
class Surrogate:
    """A shape and a width (as a fraction of the threshold)."""

    shape: str = "fast-sigmoid"
    width: float = 0.25

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise BadInput(f"surrogate: shape {self.shape!r} unknown, known: {', '.join(SHAPES)}")
        if not self.width > 0:
            raise BadInput(f"surrogate: width {self.width} not above 0")

    def derivative(self, x: Tensor) -> Tensor:
        """shape(x), the peak being 1 at x = 0."""
        if self.shape == "fast-sigmoid":
            return x.abs().add(1).square().reciprocal()
        if self.shape == "triangle":
            return x.abs().neg().add(1).clamp_min(0)
        return x.mul(math.pi / 2).square().add(1).reciprocal()


DEFAULT = Surrogate()
