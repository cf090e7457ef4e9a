"""What is known of a network before it runs: trouble with its numbers, its layers and its card."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from typing_extensions import assert_never

from neurorobust.fixedpoint import (
    BIAS_BITS as CHIP_BIAS_BITS,
)
from neurorobust.fixedpoint import (
    STATE_LIMIT,
    THRESHOLD_MAX,
    PackedWeights,
    cast_bias,
    pack_dense_weights,
    pack_recurrent_weights,
)
from neurorobust.netx import rules
from neurorobust.netx.bounds import bounds
from neurorobust.netx.model import (
    AverageLayer,
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    IntArray,
    Layer,
    NetxModel,
    RecurrentLayer,
    SpikingLayer,
    SynapseLayer,
)
from neurorobust.netx.rules import Finding

BIAS_MOST = 1 << (CHIP_BIAS_BITS - 1)


def check(model: NetxModel, steps: int | None = None) -> list[Finding]:
    """Every rule of numbers, layers and time that a network breaks.

    Args:
        model: what `read` gave.
        steps: for how long a sample runs; None: for ever (bounds are wider).
    """
    found: list[Finding] = []
    for layer in model.spiking_layers:
        found += _numbers(layer)
        if isinstance(layer, SynapseLayer):
            found += _packing(layer)
            found += _bounds(layer, steps)
    return [*found, *_loading(model), *_time(model)]


def place(layer: Layer) -> str:
    """`layer 3 (dense)`."""
    return f"layer {layer.number} ({layer.kind})"


def _numbers(layer: SpikingLayer) -> Iterator[Finding]:
    bias = None if isinstance(layer, InputLayer) else layer.bias
    if bias is not None:
        wrapped = bias[cast_bias(bias) != bias]
        wide = bias[(bias < -BIAS_MOST) | (bias >= BIAS_MOST)]
        if wrapped.size:
            value = int(wrapped.flat[0])
            became = int(cast_bias(np.array([value]))[0])
            yield Finding(
                rules.BIAS_WRAPS, place(layer), f"bias {value} becomes {became} ({wrapped.size} do)"
            )
        elif wide.size:
            yield Finding(
                rules.BIAS_BITS,
                place(layer),
                f"bias {int(wide.flat[0])} outside [{-BIAS_MOST}, {BIAS_MOST - 1}] "
                f"({wide.size} of {bias.size})",
            )
    if layer.neuron is None:
        return
    threshold = layer.neuron.threshold
    if threshold.max() > THRESHOLD_MAX:
        yield Finding(
            rules.THRESHOLD_BITS, place(layer), f"vThMant {threshold.max()} above {THRESHOLD_MAX}"
        )
    if threshold.min() <= 0:
        yield Finding(rules.THRESHOLD_ZERO, place(layer), f"vThMant {threshold.min()}, at least 1")


def _packing(layer: SynapseLayer) -> Iterator[Finding]:
    if isinstance(layer, ConvLayer):
        return  # convolutions take weights as they are
    packed: tuple[PackedWeights, ...]
    if isinstance(layer, RecurrentLayer):
        packed = pack_recurrent_weights(layer.weight, layer.weight_rec)
    elif isinstance(layer, DenseLayer):
        packed = (pack_dense_weights(layer.weight),)
    else:
        assert_never(layer)
    for weights, kept in zip(layer.matrices().values(), packed, strict=True):
        now = kept.weights / 2.0**kept.shift
        changed = now != weights
        if changed.any():
            first = tuple(np.argwhere(changed)[0])
            lost = bool(changed.all()) and not now.any()
            yield Finding(
                rules.WEIGHTS_CHANGED,
                place(layer),
                f"{int(changed.sum())} of {weights.size} weights change, the first from "
                f"{int(weights[first])} to {now[first]:g}{'; all become 0' if lost else ''}",
            )


def _bounds(layer: SynapseLayer, steps: int | None) -> Iterator[Finding]:
    known = bounds(layer, steps)
    total = known.theta.size
    if known.wraps.any():
        peak = float(known.current[known.wraps].max())
        reach = "without end" if np.isinf(peak) else f"to {peak:.3g}"
        yield Finding(
            rules.WRAPS,
            place(layer),
            f"|u| may grow {reach}, limit {STATE_LIMIT} ({int(known.wraps.sum())} of {total}); "
            f"at once it takes {known.spikes_to_wrap()} input spikes of the largest weight",
        )
    if layer.neuron is None:
        return
    if known.silent.any():
        worst = int(np.argmax(known.silent))
        yield Finding(
            rules.NEVER_SPIKES,
            place(layer),
            f"{int(known.silent.sum())} of {total}; the first reaches v "
            f"{min(float(known.voltage[worst]), STATE_LIMIT - 1.0):.6g} at most, threshold "
            f"{int(known.theta[worst])}",
        )
    if known.restless.any():
        yield Finding(
            rules.BIAS_SPIKES, place(layer), f"{int(known.restless.sum())} of {total} neurons"
        )


def _loading(model: NetxModel) -> Iterator[Finding]:
    layers = model.layers
    for before, layer in pairwise(layers):
        if isinstance(layer, AverageLayer):
            yield Finding(rules.LAVA_LOADS, place(layer), "an average layer")
        if isinstance(layer, FlattenLayer) and isinstance(before, DenseLayer | RecurrentLayer):
            yield Finding(rules.LAVA_LOADS, place(layer), f"a flatten after {before.kind}")
        if isinstance(layer, DenseLayer | RecurrentLayer) and isinstance(before, ConvLayer):
            yield Finding(rules.LAVA_LOADS, place(layer), "straight after a conv layer")
    last = model.output_layer
    if last.neuron is None:
        yield Finding(rules.ACCUMULATES, place(last), "its spikes are 0 for ever")


def _time(model: NetxModel) -> Iterator[Finding]:
    if model.input_layer is not None:
        yield Finding(rules.INPUT_EARLY, place(model.input_layer), "drives itself by its bias")
    for depth, layer in enumerate(model.spiking_layers):
        delay: IntArray | None = getattr(layer, "delay", None)
        if delay is not None:
            yield Finding(rules.DELAYS_OUTLIVE, place(layer), f"delays up to {int(delay.max())}")
        bias: IntArray | None = None if isinstance(layer, InputLayer) else layer.bias
        if depth and bias is not None and bias.any():
            yield Finding(
                rules.BIAS_EARLY, place(layer), f"bias {int(bias[bias != 0][0])}, {depth} steps"
            )
