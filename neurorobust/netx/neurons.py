"""The `neuron` group of a layer: CUBA leaky integrate-and-fire or nothing."""

from __future__ import annotations

import numpy as np

from neurorobust.fixedpoint import DECAY_UNITY, STATE_SHIFT
from neurorobust.netx.fields import finite, integers, known, neutral
from neurorobust.netx.hdf5 import Group
from neurorobust.netx.image import quoted
from neurorobust.netx.model import IntArray, Neuron
from neurorobust.netx.numbers import THRESHOLD_LIMIT
from neurorobust.netx.rules import GRADED, NEURON_TYPE, SHAPES, STORAGE, WEIGHT_EXPONENT

CUBA_TYPES = ("CUBA", "LOIHI")  # LOIHI is what lava-dl's predecessor called it
REQUIRED = frozenset({"type", "iDecay", "vDecay", "vThMant"})
IGNORED = frozenset({"refDelay", "scaleRho", "tauRho", "theta"})  # Lava's simulation drops them
UNFOLDED = "Lava ignores it, export must fold it into vThMant"
NEUTRAL = {
    "gradedSpike": ("graded spikes are dropped by Lava", GRADED),
    "messageBits": ("graded messages are not computed here", GRADED),
    "weight_exp": (UNFOLDED, WEIGHT_EXPONENT),
    "wgtExp": (UNFOLDED, WEIGHT_EXPONENT),
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
        layer.fail(
            f"neuron type {quoted(kind)} unknown, known: {', '.join(CUBA_TYPES)}", NEURON_TYPE
        )
    known(group, REQUIRED | IGNORED | NEUTRAL.keys())
    present = group.names()
    for name in sorted(IGNORED.intersection(present)):
        finite(group, name)
    for name, (why, rule) in NEUTRAL.items():
        if name in present:
            neutral(group, name, why, rule)
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
            f"needs 1 entry or {channels} (one a channel)",
            SHAPES,
        )
    _check_storage(group, name, values)
    return values.reshape(-1)


def _check_storage(group: Group, name: str, values: IntArray) -> None:
    """Lava computes with these fields in the type they are stored in; weights it casts first."""
    stored = group.array(name)
    kind = stored.dtype
    if kind.kind == "f" or kind == np.uint64:
        group.fail(f"{group.prefix}{name} is stored as {kind}, which Lava cannot shift", STORAGE)
    limit = np.iinfo(kind if kind.kind in "iu" else np.int64).max >> STATE_SHIFT
    if name == "vThMant" and stored.ndim and values.max() > limit:
        group.fail(
            f"{group.prefix}{name} {values.max()} is stored as {kind}: Lava shifts it there, "
            f"above {limit} it wraps",
            STORAGE,
        )
