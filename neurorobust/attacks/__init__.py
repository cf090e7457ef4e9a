"""Attacks: they propose, the evaluation projects, re-runs and scores."""

from neurorobust.attacks.base import Attack, GradientAttack, domain, settings
from neurorobust.attacks.noise import UniformNoise
from neurorobust.attacks.pgd import PgdLinf
from neurorobust.attacks.spike_flips import SpikeRandom, SpikeTopK
from neurorobust.errors import BadInput

ATTACKS: dict[str, Attack] = {
    "pgd-linf": PgdLinf(),
    "random": UniformNoise(),
    "spike-topk": SpikeTopK(),
    "spike-random": SpikeRandom(),
}


def find(name: str) -> Attack:
    """An attack by name.

    Raises:
        BadInput: unknown name.
    """
    if name not in ATTACKS:
        raise BadInput(f"attack {name!r}: unknown, known: {', '.join(ATTACKS)}")
    return ATTACKS[name]


__all__ = ["ATTACKS", "Attack", "GradientAttack", "domain", "find", "settings"]
