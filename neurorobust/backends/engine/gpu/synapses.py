"""Synapses on a GPU: from one layer's spikes to the next layer's sums, and back for gradients.

Signals are `[batch, time, neurons]`, neurons in H, W, C order as everywhere in the engine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from neurorobust.backends.engine.gpu.gemm import Digits, digits, float_product, product
from neurorobust.backends.engine.gpu.lif import Sums
from neurorobust.fixedpoint import IntArray, PackedWeights, pack_dense_weights
from neurorobust.netx.model import DenseLayer, Shape


class Synapse(Protocol):
    """Weighted sums and their transpose."""

    def sums(self, spikes: Tensor) -> Sums:
        """Spikes int8 -> sums, before the last shift."""
        ...

    def transposed(self, gradient: Tensor, precision: str) -> Tensor:
        """Float32, of the activation a -> float32, of the spikes; a right shift is a factor."""
        ...


class Dense:
    """`spikes @ weight.T >> shift`."""

    def __init__(self, packed: PackedWeights, source: Shape, device: torch.device) -> None:
        self._weight, self._shift = packed.weights[:, _order(source)], packed.shift
        self._digits = digits(self._weight, device)

    def __str__(self) -> str:
        """How it is summed."""
        return str(self._digits)

    def sums(self, spikes: Tensor) -> Sums:
        """See `Synapse.sums`."""
        batch, steps, inputs = spikes.shape
        total = product(self._digits, spikes.reshape(-1, inputs))
        net = self._digits.exponent - self._shift
        return Sums(total.view(batch, steps, total.shape[1]), max(net, 0), max(-net, 0))

    def transposed(self, gradient: Tensor, precision: str) -> Tensor:
        """See `Synapse.transposed`."""
        return float_product(gradient, self._matrix, precision)

    @cached_property
    def _matrix(self) -> Tensor:
        scaled = torch.from_numpy(self._weight.astype(np.float32) * 2.0**-self._shift)
        return scaled.to(self._digits.values.device)


@dataclass(frozen=True, eq=False)
class _Bucket:
    """The synapses of one delay: their outputs, their inputs, the matrix between them."""

    delay: int
    rows: Tensor
    columns: Tensor
    matrix: Digits
    weight: Tensor


class DelayedDense:
    """Delayed synapses, each delay's sum shifted on its own before they are added, as in Lava.

    One product a delay, of the inputs and outputs that have it. Where inputs have one delay each
    (axonal), all of them are gathered from their own past at once and one product is enough.
    """

    def __init__(self, layer: DenseLayer, source: Shape, device: torch.device) -> None:
        assert layer.delay is not None
        packed, order = pack_dense_weights(layer.weight), _order(source)
        weights, delays = packed.weights[:, order], layer.delay[:, order]
        self._shift, self._shape = packed.shift, weights.shape
        self._buckets = [
            _bucket(weights, delays, int(delay), packed.shift, device)
            for delay in np.unique(delays)
        ]
        lossless = not np.any(weights % (1 << packed.shift))
        self._past: Tensor | None = None
        if lossless and bool(np.all(delays == delays[0])):
            self._past = torch.from_numpy(delays[0]).to(device)
            self._gathered = digits(weights >> packed.shift, device)

    def __str__(self) -> str:
        """How it is summed."""
        if self._past is not None:
            return f"delayed inputs gathered, {self._gathered}"
        return f"{len(self._buckets)} delays, of the last: {self._buckets[-1].matrix}"

    def sums(self, spikes: Tensor) -> Sums:
        """See `Synapse.sums`."""
        batch, steps, inputs = spikes.shape
        if self._past is not None:
            late = _gather_past(spikes, self._past)
            total = product(self._gathered, late.view(-1, inputs))
            return Sums(total.view(batch, steps, total.shape[1]), self._gathered.exponent)
        total = torch.zeros((batch, steps, self._shape[0]), dtype=torch.int32, device=spikes.device)
        for bucket in self._buckets:
            if bucket.delay >= steps:
                continue
            seen = spikes[:, : steps - bucket.delay].index_select(2, bucket.columns)
            part = product(bucket.matrix, seen.view(-1, len(bucket.columns)))
            net = bucket.matrix.exponent - self._shift
            part = part << net if net >= 0 else part >> -net
            outputs = len(bucket.rows)
            part = part[:, :outputs].reshape(batch, steps - bucket.delay, outputs)
            total[:, bucket.delay :].index_add_(2, bucket.rows, part)
        return Sums(total)

    def transposed(self, gradient: Tensor, precision: str) -> Tensor:
        """See `Synapse.transposed`."""
        batch, steps, _ = gradient.shape
        total = gradient.new_zeros((batch, steps, self._shape[1]))
        for bucket in self._buckets:
            if bucket.delay < steps:
                answered = gradient[:, bucket.delay :].index_select(2, bucket.rows)
                part = float_product(answered, bucket.weight, precision)
                total[:, : steps - bucket.delay].index_add_(2, bucket.columns, part)
        return total


def dense(layer: DenseLayer, source: Shape, device: torch.device) -> Synapse:
    """Pack a dense layer whose inputs were flattened from the shape `source`."""
    if layer.delay is None:
        return Dense(pack_dense_weights(layer.weight), source, device)
    return DelayedDense(layer, source, device)


def _bucket(
    weights: IntArray, delays: IntArray, delay: int, shift: int, device: torch.device
) -> _Bucket:
    chosen = delays == delay
    rows, columns = np.flatnonzero(chosen.any(1)), np.flatnonzero(chosen.any(0))
    part = np.where(chosen, weights, 0)[np.ix_(rows, columns)]
    weight = torch.from_numpy(part.astype(np.float32) * np.float32(2.0**-shift))
    return _Bucket(
        delay,
        torch.from_numpy(rows).to(device),
        torch.from_numpy(columns).to(device),
        digits(part, device),
        weight.to(device),
    )


def _gather_past(spikes: Tensor, past: Tensor) -> Tensor:
    """`[batch, time, inputs]` with input i as it was `past[i]` steps ago, silent before step 0."""
    batch, steps, inputs = spikes.shape
    deepest = int(past.max())
    padded = torch.nn.functional.pad(spikes, (0, 0, deepest, 0)).flatten(1)
    now = torch.arange(deepest, deepest + steps, device=past.device)[:, None]
    places = (now - past) * inputs + torch.arange(inputs, device=past.device)
    return padded.index_select(1, places.view(-1)).view(batch, steps, inputs)


def _order(source: Shape) -> IntArray:
    """Where the inputs, C, H, W in the file, are in H, W, C order."""
    order: IntArray = np.arange(math.prod(source)).reshape(source).transpose(1, 2, 0).reshape(-1)
    return order
