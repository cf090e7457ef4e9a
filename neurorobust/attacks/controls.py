"""The control of each kind of budget: random noise of the same size, which an attack must beat.

An attack that breaks no more than its control has found nothing (Carlini et al., "On evaluating
adversarial robustness", arXiv:1902.06705, 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.base import Attack
from neurorobust.attacks.events.controls import PatchNoise
from neurorobust.attacks.events.gradient_flips import SpikeRandom
from neurorobust.attacks.events.retiming import RandomJitter
from neurorobust.attacks.images.noise import UniformNoise
from neurorobust.attacks.sample_random import SampleGenerators
from neurorobust.budgets import KINDS, Budget
from neurorobust.classifier import Classifier
from neurorobust.types import Labels

HALVINGS = 20  # of the share of entries that become noise


@dataclass(frozen=True)
class ProjectedNoise:
    """Random noise at random places, as much as fits: for kinds that have no control of their own.

    Entries get a random order; as many of the first as stay inside the budget (found by halving)
    become noise: pixels uniform in [0, 1], spikes 0 or 1 with equal chances, each sample its own.
    Threat model: no access, no queries, any budget of its kind.

    Attributes:
        kind: of the budget.
    """

    kind: str
    access = "none"
    control = True

    @property
    def name(self) -> str:
        """`random-KIND`."""
        return f"random-{self.kind}"

    def __call__(
        self,
        classifier: Classifier,
        x: Tensor,
        labels: Labels,
        budget: Budget,
        generator: torch.Generator,
    ) -> Tensor:
        """See `Attack.__call__`."""
        drawn = SampleGenerators(generator, len(x)).uniform(*x.shape[1:], 2).to(x.device)
        noise, order = drawn[..., 0], drawn[..., 1]
        if KINDS[self.kind].domain == "spikes":
            noise = noise.round()
        noise, one = noise.to(x.dtype), (-1, *(1,) * (x.dim() - 1))
        low, high = torch.zeros(len(x), device=x.device), torch.ones(len(x), device=x.device)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            mixed = torch.where(order < middle.view(one), noise, x)
            fits = (budget.project(mixed, x)[0] == mixed).flatten(1).all(1)
            low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
        return budget.project(torch.where(order < low.view(one), noise, x), x)[0]


_ALL: tuple[Attack, ...] = (UniformNoise(), SpikeRandom(), RandomJitter(), PatchNoise())
# by kind of budget; each takes every budget of its kind
CONTROLS: dict[str, Attack] = {control.kind: control for control in _ALL}


def control_of(kind: str) -> Attack:
    """The control of a kind of budget (`budgets.KINDS`): its own, or else `ProjectedNoise`."""
    return CONTROLS[kind] if kind in CONTROLS else ProjectedNoise(kind)
