"""Backward modes by name. docs/backward_modes.md says what each computes, and where from."""

from neurorobust.attacks.listing import Listed
from neurorobust.attacks.modes.base import PLAIN, Constant, Mode, Pass, surrogate
from neurorobust.attacks.modes.means import BPTR, BPTR_LEAKY, RGA, averaged
from neurorobust.attacks.modes.potential import PDSG
from neurorobust.attacks.modes.rotation import Rotation
from neurorobust.attacks.modes.sharpness import AdaptiveSharpness
from neurorobust.errors import BadInput
from neurorobust.support.names import unknown

ROTATION = Rotation(
    "rotation",
    (
        surrogate("triangle", 1.0),
        surrogate("sigmoid", 1.0),
        surrogate("atan", 0.5),
        surrogate("gaussian", 1.0),
    ),
)

FAST_SIGMOID = "Zenke & Ganguli, Neural Computation 30, 2018"
TRIANGLE = "Esser et al., PNAS 113, 2016"
ATAN = "Fang et al., ICCV 2021"
HART = "HART, ICLR 2024; cutting u's memory too is our form"

LISTED: tuple[Listed[Mode], ...] = (
    Listed(PLAIN, "the default: 1 / (1 + |x|)^2, x = (v - theta) / (W theta)", FAST_SIGMOID),
    Listed(surrogate("fast-sigmoid", 1.0), "the same, four times as wide", FAST_SIGMOID),
    Listed(surrogate("triangle", 1.0), "max(0, 1 - |x|)", TRIANGLE),
    Listed(surrogate("triangle", 2.0), "the same, twice as wide", TRIANGLE),
    Listed(surrogate("atan", 0.5), "1 / (1 + (pi x / 2)^2)", ATAN),
    Listed(surrogate("atan", 2.0), "the same, four times as wide", ATAN),
    Listed(
        surrogate("sigmoid", 1.0),
        "derivative of a logistic function of slope 4",
        "Zenke & Vogels, Neural Computation 33, 2021",
    ),
    Listed(
        surrogate("gaussian", 1.0),
        "exp(-pi x^2)",
        "Yin et al., Nature Machine Intelligence 3, 2021",
    ),
    Listed(
        surrogate("rectangle", 1.0),
        "1 where |x| < 1/2, else 0",
        "Wu et al., Frontiers in Neuroscience 12, 2018",
    ),
    Listed(
        surrogate("straight-through", 1.0),
        "1 everywhere",
        "Bengio et al., arXiv:1308.3432",
    ),
    *(
        Listed(
            AdaptiveSharpness(vanishing),
            f"sharpness from the membranes seen so far, A = {vanishing:g}",
            "ASSG, arXiv:2512.22522",
        )
        for vanishing in (0.35, 0.425, 0.465)
    ),
    Listed(
        RGA, "derivative of the firing rate by the mean input", "RGA, CVPR 2023; leaks: our form"
    ),
    *(
        Listed(averaged(width), f"triangle of width {width:g}, averaged over time, no memory", HART)
        for width in (0.25, 0.5, 1.0, 2.0)
    ),
    Listed(
        PDSG,
        "a normal density as wide as the potentials spread in this batch",
        "PDSG, CVPR 2025",
    ),
    Listed(
        BPTR,
        "1 / theta where a neuron spiked at all, by firing rates",
        "SNN-RAT, NeurIPS 2022; u's gain: our form",
    ),
    Listed(BPTR_LEAKY, "the same, back through the leaks", "ours, after SNN-RAT, NeurIPS 2022"),
    Listed(
        ROTATION,
        "triangle, sigmoid, atan, gaussian: the next at every gradient",
        "our form of mixing estimators as in MDSE, arXiv:2209.03358",
    ),
)

MODES: dict[str, Mode] = {entry.member.name: entry.member for entry in LISTED}


def find_mode(name: str) -> Mode:
    """A mode by name.

    Raises:
        BadInput: unknown name.
    """
    if name not in MODES:
        raise BadInput(unknown("backward mode", name, MODES, "`neurorobust attacks` lists all"))
    return MODES[name]


__all__ = [
    "LISTED",
    "MODES",
    "PLAIN",
    "AdaptiveSharpness",
    "Constant",
    "Mode",
    "Pass",
    "Rotation",
    "averaged",
    "find_mode",
    "surrogate",
]
