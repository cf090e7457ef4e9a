"""Backward modes by name. docs/backward_modes.md says what each computes, and where from."""

from neurorobust.attacks.modes.base import PLAIN, Constant, Mode, Pass, surrogate
from neurorobust.attacks.modes.means import BPTR, BPTR_LEAKY, RGA, averaged
from neurorobust.attacks.modes.potential import PDSG
from neurorobust.attacks.modes.rotation import Rotation
from neurorobust.attacks.modes.sharpness import AdaptiveSharpness
from neurorobust.errors import BadInput

ROTATION = Rotation(
    "rotation",
    (
        surrogate("triangle", 1.0),
        surrogate("sigmoid", 1.0),
        surrogate("atan", 0.5),
        surrogate("gaussian", 1.0),
    ),
)

_ALL: tuple[Mode, ...] = (
    PLAIN,
    surrogate("fast-sigmoid", 1.0),
    surrogate("triangle", 1.0),
    surrogate("triangle", 2.0),
    surrogate("atan", 0.5),
    surrogate("atan", 2.0),
    surrogate("sigmoid", 1.0),
    surrogate("gaussian", 1.0),
    surrogate("rectangle", 1.0),
    surrogate("straight-through", 1.0),
    *(AdaptiveSharpness(vanishing) for vanishing in (0.35, 0.425, 0.465)),
    RGA,
    *(averaged(width) for width in (0.25, 0.5, 1.0, 2.0)),
    PDSG,
    BPTR,
    BPTR_LEAKY,
    ROTATION,
)

MODES: dict[str, Mode] = {mode.name: mode for mode in _ALL}


def find_mode(name: str) -> Mode:
    """A mode by name.

    Raises:
        BadInput: unknown name.
    """
    if name not in MODES:
        raise BadInput(f"backward mode {name!r}: unknown, known: {', '.join(MODES)}")
    return MODES[name]


__all__ = [
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
