"""The `neuron` group of a layer: CUBA leaky integrate-and-fire or nothing."""

from __future__ import annotations

from neurorobust.fixedpoint import DECAY_UNITY, STATE_SHIFT
from neurorobust.netx.fields import INT32_MAX, finite, integers, known, neutral
from neurorobust.netx.hdf5 import Group, quoted
from neurorobust.netx.model import IntArray, Neuron

CUBA_TYPES = ("CUBA", "LOIHI")  # LOIHI is what lava-dl's predecessor called it
THRESHOLD_LIMIT = INT32_MAX >> STATE_SHIFT  # vThMant << 6 is an int32 in Lava
REQUIRED = frozenset({"type", "iDecay", "vDecay", "vThMant"})
IGNORED = frozenset({"refDelay", "scaleRho", "tauRho", "theta"})  # Lava's simulation drops them
NEUTRAL = {
    "gradedSpike": "graded spikes are dropped by Lava",
    "messageBits": "graded messages are not computed here",
    "weight_exp": "Lava ignores it, export must fold it into vThMant",
    "wgtExp": "Lava ignores it, export must fold it into vThMant",
}


def read_neuron(layer: Group, channels: int) -> Neuron | None:
    """The layer's neuron parameters, None without a `neuron` group.

    Args:
        layer: the group of the layer.
        channels: how many entries a parameter that is not shared has.

    Raises:
        ModelFileError: another neuron type, a missing or unknown field, a value out of range.
    """
    if "neuron" not in layer.names():
        return None
    group = layer.group("neuron")
    kind = group.text("type")
    if kind not in CUBA_TYPES:
        layer.fail(f"neuron type {quoted(kind)} unknown, known: {', '.join(CUBA_TYPES)}")
    known(group, REQUIRED | IGNORED | NEUTRAL.keys())
    present = group.names()
    for name in sorted(IGNORED.intersection(present)):
        finite(group, name)
    for name, why in NEUTRAL.items():
        if name in present:
            neutral(group, name, why)
    return Neuron(
        current_decay=_parameter(group, "iDecay", DECAY_UNITY, channels),
        voltage_decay=_parameter(group, "vDecay", DECAY_UNITY, channels),
        threshold=_parameter(group, "vThMant", THRESHOLD_LIMIT, channels),
    )


def _parameter(group: Group, name: str, high: int, channels: int) -> IntArray:
    """One for the layer (length 1) or one a channel (length C), in [0, high]."""
    values = integers(group, name, 0, high)
    if values.ndim > 1 or values.size not in (1, channels):
        group.fail(
            f"{group.prefix}{name} has shape {values.shape}, "
            f"needs 1 entry or {channels} (one a channel)"
        )
    return values.reshape(-1)
