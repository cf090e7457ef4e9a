"""Attacks: they propose, the evaluation projects, re-runs and scores."""

from neurorobust.attacks.base import Attack, GradientAttack, domain, settings
from neurorobust.attacks.events import EVENTS
from neurorobust.attacks.images import IMAGES, find_foolbox
from neurorobust.errors import BadInput

ATTACKS: dict[str, Attack] = {
    **IMAGES,
    **EVENTS,
}


def find(name: str) -> Attack:
    """An attack by name: one of `ATTACKS`, or `foolbox:NAME`, any of Foolbox's.

    Raises:
        BadInput: unknown name.
    """
    foolbox = find_foolbox(name)
    if foolbox is not None:
        return foolbox
    if name not in ATTACKS:
        raise BadInput(f"attack {name!r}: unknown, known: {', '.join(ATTACKS)}")
    return ATTACKS[name]


__all__ = ["ATTACKS", "Attack", "GradientAttack", "domain", "find", "settings"]
