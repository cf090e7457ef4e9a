"""Float master weights -> the integers of the `.net` file -> the engine's layers.

Weights are rounded to even integers in [-256, 254], SLAYER's convention (lava-dl 0.6.0,
`neuron/base.py: quantize_8bit`); biases to integers of 13 bits, the documented width of bias_mant.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurorobust.backends.engine.arithmetic import small_sums
from neurorobust.backends.engine.layer import LayerPlan
from neurorobust.backends.engine.loops import Array, compiled
from neurorobust.backends.engine.synapses import FLOAT32_EXACT, Conv, Dense
from neurorobust.backends.engine.transpose import packed_order
from neurorobust.errors import BadInput
from neurorobust.fixedpoint import (
    BIAS_BITS,
    STATE_LIMIT,
    STATE_SHIFT,
    WEIGHT_MAX,
    WEIGHT_MIN,
)
from neurorobust.netx.model import ConvLayer, DenseLayer, Layer, Shape, SynapseLayer

BIAS_MIN, BIAS_MAX = -(1 << (BIAS_BITS - 1)), (1 << (BIAS_BITS - 1)) - 1


def even_weights(master: Tensor) -> Tensor:
    """`2 * round(w / 2)`, ties to the even multiple, clipped to [-256, 254]; NaN stays; float32."""
    given = master.detach().cpu().contiguous()
    made = torch.empty(given.shape, dtype=torch.float32)
    _round_evenly(given.view(-1).numpy(), made.view(-1).numpy())
    return made


def whole_biases(master: Tensor) -> Tensor:
    """Rounded and clipped to 13 bits; same type."""
    return master.detach().round().clamp_(BIAS_MIN, BIAS_MAX)


def delays(layer: Layer) -> Tensor | None:
    """Synaptic delays int64 `[out, in]` of a dense layer that has them."""
    found = layer.delay if isinstance(layer, DenseLayer) else None
    return None if found is None else torch.from_numpy(np.asarray(found, dtype=np.int64))


def repacked(
    layer: SynapseLayer,
    plan: LayerPlan,
    source: Shape,
    weight: Tensor,
    bias: Tensor | None,
) -> LayerPlan | None:
    """The engine's layer with other integers, or None where only `make_plan` can tell.

    It equals what `make_plan` makes of the new file. Even weights of both signs in [-256, 254] that
    fit a dense layer's scale lose nothing when Lava packs them, nor do those without a negative
    one: the scaled weights have at most 8 bits and a sign, and as many zeros below them as Lava
    truncates. (Of a matrix without a positive weight Lava loses bits.)

    Args:
        layer: of the file.
        plan: the same layer with integers that stood there before, even ones too.
        source: shape of what it is fed, C, H, W.
        weight: as the file holds it, float32, from `even_weights`.
        bias: as the file holds it, from `whole_biases`; None where the layer has none.

    Raises:
        BadInput: a weight that is not a number.
    """
    old, arithmetic = plan.synapse, plan.arithmetic
    if arithmetic is None or arithmetic.product not in ("int8", "float32"):
        return None
    halves = torch.empty(weight.shape, dtype=torch.int8)
    bound, largest, lost = _halve(weight.flatten(1).numpy(), halves.flatten(1).numpy())
    if lost:
        raise BadInput(f"layer {plan.number} ({plan.kind}): a weight to be trained is not a number")
    if bound >= FLOAT32_EXACT or old is None or old.proof.dtype != torch.float32:
        return None
    proof = replace(old.proof, bound=bound, activation=bound + 1)
    synapse: Dense | Conv
    if isinstance(layer, ConvLayer) and isinstance(old, Conv):
        columns = _columns(weight, layer.groups)
        synapse = replace(old, proof=proof, weight=columns, wraps=bound >= STATE_LIMIT)
        halves = _columns(halves, layer.groups)[0].t().contiguous()
    elif isinstance(layer, DenseLayer) and isinstance(old, Dense) and largest > 0:
        synapse = Dense(proof, packed_order(weight, source), 0)
        halves = packed_order(halves, source).contiguous()
    else:
        return None
    gathered = isinstance(synapse, Dense) and small_sums(synapse)
    sums = replace(arithmetic, synapse=synapse, gathered=gathered)
    if gathered or arithmetic.product == "int8":
        sums = replace(sums, halves=halves)
    if gathered and "event" in vars(arithmetic):
        _ = sums.event  # packed here, as the last run needed it: the parts of the next do not wait
    if arithmetic.product == "int8" and "int8" in vars(arithmetic):
        _ = sums.int8
    biases = plan.bias
    if bias is not None:
        mantissas = bias.numpy().astype(np.float64) * (1 << STATE_SHIFT)
        biases = np.tile(mantissas, plan.neurons // len(mantissas))[None]
    noted = plan._constants if bias is None else {}
    return replace(plan, synapse=synapse, arithmetic=sums, bias=biases, _constants=noted)


def _columns(stored: Tensor, groups: int) -> Tensor:
    """A convolution's weights as the engine holds them (see `Conv`)."""
    outputs, inner, height, width = stored.shape
    split = stored.view(groups, outputs // groups, inner, height, width)
    return split.permute(0, 3, 4, 2, 1).reshape(groups, height * width * inner, -1)


@compiled
def _round_evenly(given: Array, made: Array) -> None:
    half, two = np.float32(0.5), np.float32(2)
    low, high = np.float32(WEIGHT_MIN), np.float32(WEIGHT_MAX)
    for i in range(len(given)):
        even = np.rint(given[i] * half) * two
        even = low if even < low else even  # false of NaN
        made[i] = high if even > high else even


@compiled
def _halve(weights: Array, halves: Array) -> tuple[int, int, int]:
    """Half of even `[outputs, inputs]` weights, and in one pass what is to be known of them.

    Returns:
        The largest sum |w| of an output, the largest w, and how many w are not twice their half.
    """
    heaviest: Any = np.int32(0)
    largest: Any = np.int32(WEIGHT_MIN)
    lost = 0
    for o in range(len(weights)):
        total = np.int32(0)
        for i in range(weights.shape[1]):
            half = np.int32(weights[o, i] * np.float32(0.5))
            halves[o, i] = half
            total += abs(half)
            largest = max(largest, half)
            lost += np.float32(half) * np.float32(2) != weights[o, i]
        heaviest = max(heaviest, total)
    return 2 * heaviest, 2 * largest, lost
