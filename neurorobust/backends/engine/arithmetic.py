"""Which arithmetic a layer's sums are taken in, why it is exact, and when the gather is faster.

`auto` takes the fastest path that is proven exact. Results never depend on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from neurorobust.backends.engine import event_weights, int8
from neurorobust.backends.engine.event_weights import EventWeights
from neurorobust.backends.engine.int8 import Int8Weights
from neurorobust.backends.engine.loops import Array
from neurorobust.backends.engine.synapses import FLOAT32_EXACT, Conv, DelayedDense, Dense, Synapse
from neurorobust.errors import BadInput
from neurorobust.fixedpoint import STATE_LIMIT, STATE_SHIFT, IntArray

AUTO = "auto"
PATHS = (AUTO, "int8", "float32", "float64", "event")
Paths: TypeAlias = str | Mapping[int, str]  # for all layers with synapses, or by number in the file

# Nanoseconds on one core of an AVX-512 machine. They steer a choice between exact paths, no more.
PRODUCT = {"int8": 0.002, "float32": 0.019, "float64": 0.04}  # an input and output
OPERATOR = 10_000.0  # a call
SUM = 0.3  # an output that goes through memory
SCAN = 0.11  # an input that is looked at
GATHER = 0.008  # an active input and output
PACKED = ("int8", "event")  # of an `Arithmetic`
MANY_ROWS = 512  # for which the plan states where the gather starts


@dataclass(frozen=True, eq=False)
class Arithmetic:
    """How the sums of one layer may be taken.

    Attributes:
        product: `int8`, `float32` or `float64`: every input counts; "" where only the gather may.
        gathered: the gather may be used.
        synapse: weights for the floating types.
        reason: in words.
        halves: int8 `[outputs, inputs]`, half the weights, where somebody has them already.
    """

    product: str
    gathered: bool
    synapse: Synapse
    reason: str
    halves: Tensor | None = None
    _limits: dict[int, float] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        """Without what is packed when needed: oneDNN's layouts cannot be copied."""
        return {name: value for name, value in vars(self).items() if name not in PACKED}

    @cached_property
    def int8(self) -> Int8Weights:
        """Weights for `int8`, packed when first needed."""
        if self.halves is not None:
            return int8.pack_as([self.halves], 2.0)
        return int8.pack(_matrix(self.synapse))

    @cached_property
    def event(self) -> EventWeights:
        """Weights for the gather, packed when first needed."""
        if self.halves is not None:
            return event_weights.pack_as(self.halves.numpy(), 2.0)
        return event_weights.pack(_matrix(self.synapse))

    def gathers(self, signal: Array) -> bool:
        """Whether the gather is faster for uint8 `[batch, time, inputs]`, by its density."""
        if not self.gathered or not self.product:
            return self.gathered
        rows = signal.shape[0] * signal.shape[1]
        limit = self._limits.get(rows)
        if limit is None:
            limit = self._limits[rows] = self.break_even(rows)
        return limit >= 1 or density(signal) < limit

    def break_even(self, rows: int) -> float:
        """The density of spikes below which the gather is faster."""
        assert isinstance(self.synapse, Dense)
        outputs, inputs = self.synapse.weight.shape
        columns = event_weights.block_columns(outputs)
        width = -(-outputs // columns) * columns
        product = OPERATOR / rows + outputs * (SUM + inputs * PRODUCT[self.product])
        return (product / inputs - SCAN) / (width * GATHER)

    def __str__(self) -> str:
        return " or ".join(filter(None, (self.product, "event" if self.gathered else "")))


def arithmetic(
    name: str, synapse: Synapse, path: str = AUTO, recurrent: bool = False
) -> Arithmetic:
    """Find the paths that are exact for a synapse, and choose among them.

    Args:
        name: of the layer, for messages.
        synapse: packed in floats.
        path: `auto`, or the one to take.
        recurrent: the sums are those of a recurrent layer's inputs.

    Raises:
        BadInput: a path that is unknown, or not proven exact for this layer.
    """
    if path not in PATHS:
        raise BadInput(f"{name}: path {path!r} unknown, known: {', '.join(PATHS)}")
    proof = synapse.proof
    floats = str(proof.dtype).removeprefix("torch.")
    no_int8 = _no_int8(synapse)
    no_event = "its neurons go step by step" if recurrent else _no_event(synapse)
    if path == AUTO:
        product = floats if no_int8 else "int8"
        reason = f"{proof.reason}; {no_int8}" if no_int8 else proof.reason
        if not no_event:
            density = Arithmetic(product, True, synapse, "").break_even(MANY_ROWS)
            reason += f"; event below {min(max(density, 0.0), 1.0):.0%} of spikes"
        return Arithmetic(product, not no_event, synapse, reason)
    reasons = {
        "float32": "" if floats == "float32" else proof.reason,
        "int8": no_int8,
        "event": no_event,
    }
    if reasons.get(path):
        raise BadInput(f"{name}: path {path!r} refused: {reasons[path]}")
    if path == "float64":
        synapse = _in_float64(synapse)
    product = "" if path == "event" else path
    return Arithmetic(product, path == "event", synapse, f"{proof.reason}; asked for")


def asked(paths: Paths, number: int) -> str:
    """The path asked for of one layer."""
    return paths if isinstance(paths, str) else paths.get(number, AUTO)


def _no_int8(synapse: Synapse) -> str:
    """Why int8 products are not used; empty where they are."""
    if isinstance(synapse, DelayedDense):
        return "delays are summed one by one"
    if isinstance(synapse, Conv) and synapse.groups > 1:
        return "groups are small products"
    if synapse.proof.bound >= FLOAT32_EXACT:
        return "too large for int8 products in float32"
    if int8.split(_matrix(synapse)) is None:
        return "two int8 matrices do not hold w"
    return int8.unusable()


def _no_event(synapse: Synapse) -> str:
    """Why the gather is not used; empty where it may be."""
    if not isinstance(synapse, Dense):
        return "only dense layers without delays are gathered"
    if not small_sums(synapse):
        return "64 |a| > 2^23"
    if not event_weights.fits(_matrix(synapse)):
        return "a weight beyond int16 sums"
    return ""


def small_sums(synapse: Synapse) -> bool:
    """Whether 64 |a| <= 2^23, as the gather's neurons have it."""
    return synapse.proof.activation <= STATE_LIMIT >> STATE_SHIFT


def _matrix(synapse: Synapse) -> IntArray:
    """`[outputs, inputs of one output]`."""
    assert not isinstance(synapse, DelayedDense)
    weight = synapse.weight[0].t() if isinstance(synapse, Conv) else synapse.weight
    matrix: IntArray = weight.to(torch.int64).contiguous().numpy()
    return matrix


def _in_float64(synapse: Synapse) -> Synapse:
    proof = replace(synapse.proof, dtype=torch.float64)
    if isinstance(synapse, DelayedDense):
        wide = (replace(bucket, weight=bucket.weight.double()) for bucket in synapse.buckets)
        return replace(synapse, proof=proof, buckets=tuple(wide))
    return replace(synapse, proof=proof, weight=synapse.weight.double())


def density(signal: Array) -> float:
    """The share of ones among the first samples of uint8 `[batch, time, inputs]`."""
    some = signal[:4]
    return float(np.count_nonzero(some.view(np.bool_))) / max(1, some.size)
