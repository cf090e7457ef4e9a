"""Whether two models say the same: every field of every layer, by value."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from neurorobust.netx.model import Layer, NetxModel, Neuron


def difference(first: NetxModel, second: NetxModel) -> str | None:
    """Name the first field that differs, None where the models are equal.

    Digest and path are not compared. A delay of zeros equals none, and a neuron parameter of
    shape () equals one of length 1: Lava computes the same.
    """
    if first.input_shape != second.input_shape:
        return f"input shape {first.input_shape} and {second.input_shape}"
    if len(first.layers) != len(second.layers):
        return f"{len(first.layers)} and {len(second.layers)} layers"
    for index, (one, other) in enumerate(zip(first.layers, second.layers, strict=True)):
        name = _layer_difference(one, other)
        if name is not None:
            return f"layer {index} ({one.kind}): {name} differs"
    return None


def _layer_difference(first: Layer, second: Layer) -> str | None:
    if type(first) is not type(second):
        return "type"
    for name in (field.name for field in fields(first)):
        one, other = getattr(first, name), getattr(second, name)
        if name == "delay":
            one, other = (None if d is None or not np.any(d) else d for d in (one, other))
        if isinstance(one, Neuron) and isinstance(other, Neuron):
            for part in (field.name for field in fields(Neuron)):
                if not _equal(
                    np.atleast_1d(getattr(one, part)), np.atleast_1d(getattr(other, part))
                ):
                    return f"neuron.{part}"
        elif not _equal(one, other):
            return name
    return None


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return type(one) is not np.ndarray and type(other) is not np.ndarray and bool(one == other)
