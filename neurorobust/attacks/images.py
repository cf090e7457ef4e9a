"""The attacks on images by name."""

from __future__ import annotations

from neurorobust.attacks.autoattack import Apgd, FabT
from neurorobust.attacks.base import Attack
from neurorobust.attacks.corner_search import CornerSearch
from neurorobust.attacks.ensemble import Ensemble
from neurorobust.attacks.foolbox_named import PREFIX, FoolboxAttack
from neurorobust.attacks.modes import AdaptiveSharpness
from neurorobust.attacks.noise import UniformNoise
from neurorobust.attacks.occlusion import Occlusion
from neurorobust.attacks.pgd import Pgd
from neurorobust.attacks.sa_pgd import SaPgd
from neurorobust.attacks.square import Square
from neurorobust.types import NORMS

_ATTACKS: tuple[Attack, ...] = (
    Pgd(),
    Pgd("pgd-l2", ("l2",), reach=10.0),
    Pgd("pgd-l1", ("l1",), reach=10.0),
    Pgd("pgd-l0", ("l0",)),
    Pgd("fgsm", NORMS, steps=1, reach=1.0, random_start=False),
    Pgd("mi-fgsm", NORMS, steps=10, reach=1.0, decay=1.0, random_start=False),
    SaPgd(mode=AdaptiveSharpness()),
    Ensemble(),
    Apgd(),
    Apgd("apgd-dlr", "dlr"),
    Apgd("apgd-t", "dlr-targeted"),
    FabT(),
    Square(),
    CornerSearch(),
    Occlusion(),
    UniformNoise(),
)
IMAGES: dict[str, Attack] = {attack.name: attack for attack in _ATTACKS}


def find_foolbox(name: str) -> Attack | None:
    """`foolbox:NAME` with its authors' parameters; None where the name has no such prefix.

    Raises:
        BadInput: no such attack.
    """
    return FoolboxAttack(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None
