"""Attacks on spikes and events: binary tensors uint8 `[batch, C, H, W, time]`."""

from neurorobust.attacks.base import Attack
from neurorobust.attacks.events.controls import PatchNoise, RandomDrop, RandomInsert
from neurorobust.attacks.events.g2s import G2S
from neurorobust.attacks.events.gumbel import GumbelEvents
from neurorobust.attacks.events.patch import UniversalPatch
from neurorobust.attacks.events.patterns import Corner, Dash, Frame
from neurorobust.attacks.events.pointwise import Pointwise
from neurorobust.attacks.events.retiming import RandomJitter, Retiming
from neurorobust.attacks.events.sda import Sda
from neurorobust.attacks.events.search import FlipSearch, MoveSearch, PatchSearch
from neurorobust.attacks.events.sparse_search import SparseSearch
from neurorobust.attacks.events.spikefool import SpikeFool
from neurorobust.attacks.events.universal import UniversalSparse
from neurorobust.attacks.spike_flips import Sea, SpikeRandom, SpikeTopK

EVENTS: dict[str, Attack] = {
    attack.name: attack
    for attack in (
        SpikeTopK(),
        Sea(),
        Sda(),
        FlipSearch(),
        G2S(),
        SpikeFool(),
        GumbelEvents(),
        SparseSearch(),
        Pointwise(),
        UniversalSparse(),
        Corner(),
        Frame(),
        Dash(),
        SpikeRandom(),
        RandomDrop(),
        RandomInsert(),
        Retiming(),
        MoveSearch(),
        RandomJitter(),
        UniversalPatch(),
        PatchSearch(),
        PatchNoise(),
    )
}

__all__ = ["EVENTS"]
