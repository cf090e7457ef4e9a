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


@dataclass(frozen=True)
class ProjectedNoise:
    """A random input, projected into the budget: for kinds that have no control of their own.

    Pixels are uniform in [0, 1], entries of spikes 0 or 1 with equal chances, each sample its own.
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
        noise = SampleGenerators(generator, len(x)).uniform(*x.shape[1:]).to(x.device)
        if KINDS[self.kind].domain == "spikes":
            noise = noise.round()
        return budget.project(noise.to(x.dtype), x)[0]


_ALL: tuple[Attack, ...] = (UniformNoise(), SpikeRandom(), RandomJitter(), PatchNoise())
# by kind of budget; each takes every budget of its kind
CONTROLS: dict[str, Attack] = {control.kind: control for control in _ALL}


def control_of(kind: str) -> Attack:
    """The control of a kind of budget (`budgets.KINDS`): its own, or else `ProjectedNoise`."""
    return CONTROLS[kind] if kind in CONTROLS else ProjectedNoise(kind)
