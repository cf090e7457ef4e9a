"""Attacks on spikes and events: binary tensors uint8 `[batch, C, H, W, time]`."""

from neurorobust.attacks.base import Attack
from neurorobust.attacks.events.g2s import G2S
from neurorobust.attacks.events.pointwise import Pointwise
from neurorobust.attacks.events.retiming import RandomJitter, Retiming
from neurorobust.attacks.events.sda import Sda
from neurorobust.attacks.events.sparse_search import SparseSearch
from neurorobust.attacks.events.spikefool import SpikeFool
from neurorobust.attacks.spike_flips import Sea, SpikeRandom, SpikeTopK

EVENTS: dict[str, Attack] = {
    attack.name: attack
    for attack in (
        SpikeTopK(),
        SpikeRandom(),
        Sea(),
        Sda(),
        G2S(),
        SpikeFool(),
        Retiming(),
        RandomJitter(),
        SparseSearch(),
        Pointwise(),
    )
}

__all__ = ["EVENTS"]
