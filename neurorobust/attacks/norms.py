"""Norms as values: where a search starts, and what one step is. Projecting is `budgets`'.

With g a direction (a gradient, or what an optimiser makes of several) and s the size of the step,
in the units of the budget, a step from z towards larger <g, z> is, before the projection,

    linf   s * sign(g)
    l2     s * g / |g|_2
    l1     s * g' / |g'|_1, g' = g at the entries of the largest |g| that can still move, else 0
           (steeper ones that the box stops are pushed against it: the projection leaves them)
    l0     up to s pixels are exchanged for those that promise most, see `_exchange`

Sources: Madry et al., ICLR 2018 (linf, l2); Tramer & Boneh, NeurIPS 2019, and Croce & Hein, ICML
2021 (l1: sparse steps, aware of the box; here the entries keep the gradient's proportions, our
form); Croce & Hein, ICCV 2019 (l0: PGD on the k pixels of largest effect; the exchange is our
form).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.budgets import NORMS as NAMES
from neurorobust.budgets import Budget, ImageBudget, project
from neurorobust.errors import BadInput

SHARE = 0.05  # of the entries, that one L1 step may move
ROOM = 1e-6  # nearer to the box an entry cannot move: projections round towards x


@dataclass(frozen=True)
class Norm:
    """One norm.

    Attributes:
        noise: (shape, epsilon, generator) -> a random change `[batch, C, H, W]` on the CPU, before
            projection; each sample its own.
        step: (z, x, g, size, epsilon) -> the next point, before projection.
    """

    noise: Callable[[torch.Size, float, torch.Generator], Tensor]
    step: Callable[[Tensor, Tensor, Tensor, float, float], Tensor]


def start(
    x: Tensor, budget: ImageBudget, generator: torch.Generator, stretch: bool = False
) -> Tensor:
    """A random point of the budget around x `[batch, C, H, W]`, each sample its own.

    linf: uniform in the cube; l2, l1: of a uniform direction, on the sphere; l0: uniform grey
    levels at so many places; then projected (the box may cut it).

    Args:
        x: where from.
        budget: how far.
        generator: of the noise.
        stretch: linf: scale each sample's noise until it touches the cube.
    """
    noise = NORMS[budget.norm].noise(x.shape, budget.epsilon, generator).to(x.device)
    if stretch and budget.norm == "linf":
        noise = budget.epsilon * noise / noise.abs().amax((1, 2, 3), keepdim=True)
    if budget.norm == "l0":
        noise = torch.where(noise < 0, 0, noise - x)  # -1: left alone, otherwise the new level
    return project((x + noise).to(x.dtype), x, budget)[0]


def ascend(z: Tensor, x: Tensor, direction: Tensor, size: float, budget: ImageBudget) -> Tensor:
    """One step of `size` from z along the direction, back in the budget around x."""
    point = NORMS[budget.norm].step(z, x, direction, size, budget.epsilon)
    return project(point.to(x.dtype), x, budget)[0]


def image_budget(name: str, budget: Budget, norms: tuple[str, ...] = NAMES) -> ImageBudget:
    """The budget, if attack `name` can take it.

    Raises:
        BadInput: not a budget on images, or another norm.
    """
    if isinstance(budget, ImageBudget) and budget.norm in norms:
        return budget
    raise BadInput(f"{name}: needs a budget on images ({', '.join(norms)}), got {budget}")


def _cube(shape: torch.Size, epsilon: float, generator: torch.Generator) -> Tensor:
    return (2 * torch.rand(shape, generator=generator) - 1) * epsilon


def _sphere(shape: torch.Size, epsilon: float, generator: torch.Generator) -> Tensor:
    normal = torch.randn(shape, generator=generator)
    return epsilon * normal / _size(normal, 2)


def _diamond(shape: torch.Size, epsilon: float, generator: torch.Generator) -> Tensor:
    """Exponential magnitudes over their sum are uniform on the simplex; signs are fair."""
    uniform = torch.rand((2, *shape), generator=generator)
    sign = torch.where(uniform[0] < 0.5, -1.0, 1.0)
    laplace = sign * -torch.log1p(-uniform[1])
    return epsilon * laplace / _size(laplace, 1)


def _levels(shape: torch.Size, epsilon: float, generator: torch.Generator) -> Tensor:
    """New grey levels in [0, 1] at `epsilon` places, -1 elsewhere."""
    batch, _, height, width = shape
    keys = torch.rand((batch, 1, height, width), generator=generator)
    level = torch.rand(shape, generator=generator)
    return torch.where(_largest(keys.flatten(1), int(epsilon)).view_as(keys), level, -1.0)


def _sign(z: Tensor, x: Tensor, direction: Tensor, size: float, epsilon: float) -> Tensor:
    return z + size * direction.sign()


def _straight(z: Tensor, x: Tensor, direction: Tensor, size: float, epsilon: float) -> Tensor:
    return z + size * direction / _size(direction, 2)


def _sparse(z: Tensor, x: Tensor, direction: Tensor, size: float, epsilon: float) -> Tensor:
    # a step goes along the largest entries that have room in [0, 1]; as large ones without room go
    # on beyond their end, so that the projection onto the ball does not draw them back from it
    free = torch.where(direction > 0, z < 1 - ROOM, z > ROOM)
    usable = torch.where(free, direction, 0)
    count = max(1, int(SHARE * usable[0].numel()))
    strongest = _largest(usable.abs().flatten(1), count).view_as(usable)
    usable = torch.where(strongest, usable, 0)
    moving = usable.abs().masked_fill(usable == 0, torch.inf).amin((1, 2, 3), keepdim=True)
    stopped = ~free & (direction.abs() >= moving) & torch.isfinite(moving)
    return z + size * (usable / _size(usable, 1) + torch.where(stopped, direction.sign(), 0))


def _exchange(z: Tensor, x: Tensor, direction: Tensor, size: float, epsilon: float) -> Tensor:
    """Pixels of the largest gain <g, corner - x> at the corner of the box that g points to.

    The pixels already changed stay in the race with theirs, at most ceil(size) others join it, and
    the `epsilon` pixels of the largest gain win.
    """
    corner = torch.where(direction == 0, z, (direction > 0).to(x.dtype))
    gain = (direction * (corner - x)).sum(1).flatten(1)
    changed = (z != x).any(1).flatten(1)
    others = gain.masked_fill(changed | (gain <= 0), -torch.inf)
    joins = _largest(others, math.ceil(size)) & torch.isfinite(others)
    race = gain.masked_fill(~(changed | joins), -torch.inf)
    wins = _largest(race, int(epsilon)) & torch.isfinite(race)
    return torch.where(wins.view(len(x), 1, *x.shape[2:]), corner, x)


def _size(values: Tensor, power: int) -> Tensor:
    """The norm of each sample, to divide by: 1 where it is 0."""
    flat = values.flatten(1)
    size = flat.abs().sum(1) if power == 1 else flat.square().sum(1).sqrt()
    return torch.where(size > 0, size, 1).view(-1, *[1] * (values.dim() - 1))


def _largest(values: Tensor, count: int) -> Tensor:
    """Mask of the `count` largest entries of each row; the lowest position wins a tie."""
    order = values.argsort(dim=1, descending=True, stable=True)[:, :count]
    return torch.zeros_like(values, dtype=torch.bool).scatter_(1, order, True)


NORMS = {
    "linf": Norm(_cube, _sign),
    "l2": Norm(_sphere, _straight),
    "l1": Norm(_diamond, _sparse),
    "l0": Norm(_levels, _exchange),
}
