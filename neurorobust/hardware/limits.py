"""Published figures of the chips, each with its source. Not one of them was measured here."""

from __future__ import annotations

from dataclasses import dataclass

_BRIEF = "Intel, Loihi 2 technology brief (2021)"
_LOG = "compiler output in lava-dl 0.6.0's and lava's tutorial notebooks"
_DAVIES = "Davies et al., IEEE Micro 38 (2018)"


@dataclass(frozen=True)
class Limit:
    """A figure, its unit, and who says so."""

    value: float
    unit: str
    source: str


LOIHI2 = {
    "cores": Limit(120, "cores a chip", f"{_BRIEF} says 128; some generations have 120"),
    "neurons": Limit(4096, "neurons a core", "what the compiler's LIF model allows, of 8192"),
    "memory": Limit(12_000, "words of 32 bits of synapses a core", _LOG),
    "axons": Limit(16_000, "input axons a core", _LOG),
    "delay": Limit(62, "steps", "lava-dl 0.6.0, netx/hdf5.py"),
}

LOIHI1_ENERGY = {
    "synaptic operation": Limit(23.6e-12, "J", _DAVIES),
    "active neuron update": Limit(81e-12, "J", _DAVIES),
    "inactive neuron update": Limit(52e-12, "J", _DAVIES),
    "spike": Limit(1.7e-12, "J within a tile", _DAVIES),
}

HEADER_BITS = 32  # our assumption for the head of an axon's synapse list
WEIGHT_BITS, DELAY_BITS = 8, 6
