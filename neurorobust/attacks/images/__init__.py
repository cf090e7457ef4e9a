"""The attacks on images by name."""

from __future__ import annotations

from neurorobust.attacks.base import Attack
from neurorobust.attacks.images.autoattack import Apgd, FabT
from neurorobust.attacks.images.corner_search import CornerSearch
from neurorobust.attacks.images.ensemble import Ensemble
from neurorobust.attacks.images.foolbox_named import PREFIX, FoolboxAttack
from neurorobust.attacks.images.noise import UniformNoise
from neurorobust.attacks.images.occlusion import Occlusion
from neurorobust.attacks.images.pgd import Pgd
from neurorobust.attacks.images.pixel_annealing import PixelAnnealing
from neurorobust.attacks.images.sa_pgd import SaPgd
from neurorobust.attacks.images.square import Square
from neurorobust.attacks.listing import Listed
from neurorobust.attacks.modes import AdaptiveSharpness
from neurorobust.budgets import NORMS

LISTED: tuple[Listed[Attack], ...] = (
    Listed(
        Pgd(),
        "40 projected gradient steps from a random start",
        "PGD: Madry et al., ICLR 2018",
    ),
    Listed(
        Pgd("pgd-l2", ("l2",), reach=10.0),
        "the same in an L2 ball",
        "Madry et al., ICLR 2018",
    ),
    Listed(
        Pgd("pgd-l1", ("l1",), reach=10.0),
        "the same in an L1 ball, each step on the 5 % largest gradients",
        "Croce & Hein, ICML 2021; the step is our form",
    ),
    Listed(
        Pgd("pgd-l0", ("l0",)),
        "the same on a number of pixels, each moved to a corner of the box",
        "Croce & Hein, ICCV 2019; the step is our form",
    ),
    Listed(
        Pgd("fgsm", NORMS, steps=1, reach=1.0, random_start=False),
        "one gradient step of the whole budget",
        "FGSM: Goodfellow et al., ICLR 2015",
    ),
    Listed(
        Pgd("mi-fgsm", NORMS, steps=10, reach=1.0, decay=1.0, random_start=False),
        "10 gradient steps with momentum",
        "MI-FGSM: Dong et al., CVPR 2018",
    ),
    Listed(
        SaPgd(mode=AdaptiveSharpness()),
        "100 adaptive steps, the surrogate's sharpness follows the membrane",
        "SA-PGD: arXiv:2512.22522; norms beyond L-infinity are our form",
    ),
    Listed(
        Ensemble(),
        "PGD once in each of 7 backward modes, the worst of them a sample",
        "surrogate ensembles as in robust SNN conversion, TMLR 2024",
    ),
    Listed(
        Apgd(),
        "PGD that chooses its step sizes, on the cross-entropy",
        "APGD: Croce & Hein, ICML 2020; L1: ICML 2021",
    ),
    Listed(
        Apgd("apgd-dlr", "dlr"),
        "the same on the difference-of-logits ratio (3 classes or more)",
        "APGD: Croce & Hein, ICML 2020",
    ),
    Listed(
        Apgd("apgd-t", "dlr-targeted"),
        "the same towards each of 9 other classes (4 classes or more)",
        "APGD: Croce & Hein, ICML 2020",
    ),
    Listed(
        FabT(),
        "the nearest point of the boundary to 9 other classes",
        "FAB: Croce & Hein, ICML 2020",
    ),
    Listed(
        Square(),
        "random squares, kept where the margin shrinks; 5000 queries",
        "Square attack: Andriushchenko et al., ECCV 2020",
    ),
    Listed(
        CornerSearch(),
        "local search over the corners of the L-infinity ball by exact queries",
        "corners: Moon et al., ICML 2019; the exchange of a few entries is our form",
    ),
    Listed(
        PixelAnnealing(),
        "annealing between the spike trains that pixels can make, exact answers",
        "annealing: Kirkpatrick et al., Science 1983; choices and energies are our form",
    ),
    Listed(
        Occlusion(),
        "the window and grey level that hurt most, of all places",
        "windows: Zeiler & Fergus, ECCV 2014; within an L0 budget our form",
    ),
    Listed(
        UniformNoise(),
        "one random point of the budget",
        "Carlini et al., arXiv:1902.06705: what finds no more found nothing",
    ),
)
IMAGES: dict[str, Attack] = {entry.member.name: entry.member for entry in LISTED}


def find_foolbox(name: str) -> Attack | None:
    """`foolbox:NAME` with its authors' parameters; None where the name has no such prefix.

    Raises:
        BadInput: no such attack.
    """
    return FoolboxAttack(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None
