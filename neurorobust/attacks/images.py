"""The attacks on images by name."""

from __future__ import annotations

from neurorobust.attacks.base import Attack
from neurorobust.attacks.noise import UniformNoise
from neurorobust.attacks.pgd import Pgd
from neurorobust.attacks.sa_pgd import SaPgd
from neurorobust.types import NORMS

_ATTACKS: tuple[Attack, ...] = (
    Pgd(),
    Pgd("pgd-l2", ("l2",)),
    Pgd("pgd-l1", ("l1",)),
    Pgd("pgd-l0", ("l0",)),
    Pgd("fgsm", NORMS, steps=1, reach=1.0, random_start=False),
    Pgd("mi-fgsm", NORMS, steps=10, reach=1.0, decay=1.0, random_start=False),
    SaPgd(),
    UniformNoise(),
)
IMAGES: dict[str, Attack] = {attack.name: attack for attack in _ATTACKS}
