"""Limits of a layer's numbers, for models that were made in memory and never read from a file.

Beyond them Lava clamps (delays), wraps in int8 (convolutions) or rounds by another rule (decays).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from neurorobust.errors import ModelFileError
from neurorobust.fixedpoint import CONV_PARAMETER_MAX, DECAY_UNITY, DELAY_MAX, STATE_SHIFT
from neurorobust.netx.model import ConvLayer, Layer
from neurorobust.netx.rules import RANGE

THRESHOLD_LIMIT = ((1 << 31) - 1) >> STATE_SHIFT  # vThMant << 6 is an int32 in Lava


def check_numbers(layer: Layer, prefix: str = "") -> None:
    """Refuse a layer with a number that Lava would change or compute another way.

    Args:
        layer: the layer.
        prefix: stands at the head of the message.

    Raises:
        ModelFileError: naming layer, field, value and limits.
    """
    limits: list[tuple[str, npt.ArrayLike, int, int | None]] = [("shape", layer.shape, 1, None)]
    neuron = getattr(layer, "neuron", None)
    if neuron is not None:
        limits += [
            ("iDecay", neuron.current_decay, 0, DECAY_UNITY),
            ("vDecay", neuron.voltage_decay, 0, DECAY_UNITY),
            ("vThMant", neuron.threshold, -THRESHOLD_LIMIT, THRESHOLD_LIMIT),
        ]
    delay = getattr(layer, "delay", None)
    if delay is not None:
        limits.append(("delay", delay, 0, DELAY_MAX))
    if isinstance(layer, ConvLayer):
        limits += [
            ("stride", layer.stride, 1, CONV_PARAMETER_MAX),
            ("padding", layer.padding, 0, CONV_PARAMETER_MAX),
            ("dilation", layer.dilation, 1, CONV_PARAMETER_MAX),
            ("groups", layer.groups, 1, CONV_PARAMETER_MAX),
            ("kernel", layer.weight.shape[2:], 1, CONV_PARAMETER_MAX),
        ]
    for name, values, low, high in limits:
        worst = _outside(np.asarray(values), low, high)
        if worst is not None:
            reach = f"below {low}" if high is None else f"outside [{low}, {high}]"
            raise ModelFileError(
                f"{prefix}layer {layer.number} ({layer.kind}): {name} {worst} {reach}", RANGE
            )


def _outside(values: npt.NDArray[Any], low: int, high: int | None) -> int | None:
    """The first value out of [low, high]."""
    bad = values < low if high is None else (values < low) | (values > high)
    return int(values[bad].reshape(-1)[0]) if bad.any() else None
