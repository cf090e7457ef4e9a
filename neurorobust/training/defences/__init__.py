"""Defences by name: what is minimised in training so that a network resists attacks."""

from __future__ import annotations

from neurorobust.errors import BadInput
from neurorobust.support import user_code
from neurorobust.training.defences.base import Defence, Learner, settings
from neurorobust.training.defences.none import NoDefence

_ALL: tuple[Defence, ...] = (NoDefence(),)
DEFENCES: dict[str, Defence] = {defence.name: defence for defence in _ALL}


def find_defence(name: str) -> Defence:
    """A defence by name, or `module:factory` of the user's own code, which returns one.

    Raises:
        BadInput: unknown name; a defence whose settings a resumed run could not compare, because it
            is no frozen dataclass; or see `user_code.member`.
    """
    found = user_code.member("defence", name, DEFENCES, Defence)
    frozen = getattr(type(found), "__dataclass_params__", None)
    if frozen is None or not frozen.frozen:
        raise BadInput(
            f"defence {name}: {type(found).__name__} is no frozen dataclass, so its settings "
            "cannot be kept with the run; make it one"
        )
    return found


__all__ = ["DEFENCES", "Defence", "Learner", "find_defence", "settings"]
