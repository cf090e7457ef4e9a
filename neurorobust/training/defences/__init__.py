"""Defences by name: what is minimised in training so that a network resists attacks."""

from __future__ import annotations

from neurorobust.support import user_code
from neurorobust.training.defences.base import Defence, Learner, settings
from neurorobust.training.defences.none import NoDefence

_ALL: tuple[Defence, ...] = (NoDefence(),)
DEFENCES: dict[str, Defence] = {defence.name: defence for defence in _ALL}


def find_defence(name: str) -> Defence:
    """A defence by name, or `module:factory` of the user's own code, which returns one.

    Raises:
        BadInput: unknown name, or see `user_code.member`.
    """
    return user_code.member("defence", name, DEFENCES, Defence)


__all__ = ["DEFENCES", "Defence", "Learner", "find_defence", "settings"]
