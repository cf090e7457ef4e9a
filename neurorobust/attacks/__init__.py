"""Attacks: they propose, the evaluation projects, re-runs and scores."""

from neurorobust.attacks.base import Attack, GradientAttack, domain, settings
from neurorobust.attacks.controls import control_of
from neurorobust.attacks.events import EVENTS
from neurorobust.attacks.events import LISTED as LISTED_EVENTS
from neurorobust.attacks.images import IMAGES, find_foolbox
from neurorobust.attacks.images import LISTED as LISTED_IMAGES
from neurorobust.attacks.listing import Listed
from neurorobust.budgets import KINDS
from neurorobust.errors import BadInput
from neurorobust.support.names import unknown

ATTACKS: dict[str, Attack] = {
    **IMAGES,
    **EVENTS,
}
LISTED: tuple[Listed[Attack], ...] = (*LISTED_IMAGES, *LISTED_EVENTS)  # in the same order


def find(name: str) -> Attack:
    """An attack by name: one of `ATTACKS`, the control of a kind, or Foolbox's `foolbox:NAME`.

    Raises:
        BadInput: unknown name.
    """
    foolbox = find_foolbox(name)
    if foolbox is not None:
        return foolbox
    controls = {control.name: control for control in map(control_of, KINDS)}
    if name not in ATTACKS and name in controls:
        return controls[name]
    if name not in ATTACKS:
        from neurorobust.attacks.recipes import LATEST, RECIPES

        known = [*LATEST, *ATTACKS, *RECIPES]
        raise BadInput(unknown("attack", name, known, "`neurorobust attacks` lists all"))
    return ATTACKS[name]


__all__ = [
    "ATTACKS",
    "LISTED",
    "Attack",
    "GradientAttack",
    "domain",
    "find",
    "settings",
]
