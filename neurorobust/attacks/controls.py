"""The control of each kind of budget: random noise of the same size, which an attack must beat.

An attack that breaks no more than its control has found nothing (Carlini et al., "On evaluating
adversarial robustness", arXiv:1902.06705, 2019).
"""

from __future__ import annotations

from neurorobust.attacks.base import Attack
from neurorobust.attacks.events.controls import PatchNoise
from neurorobust.attacks.events.gradient_flips import SpikeRandom
from neurorobust.attacks.events.retiming import RandomJitter
from neurorobust.attacks.images.noise import UniformNoise

_ALL: tuple[Attack, ...] = (UniformNoise(), SpikeRandom(), RandomJitter(), PatchNoise())
# by kind of budget; each takes every budget of its kind
CONTROLS: dict[str, Attack] = {control.kind: control for control in _ALL}
