"""Neurons, layers, networks and spikes that tests are made of: small, and everything said."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch

from neurorobust.netx.model import ConvLayer, DenseLayer, NetxModel, Neuron, RecurrentLayer


def neuron(current: Any = 0, voltage: Any = 0, threshold: Any = 100) -> Neuron:
    """Decays in 1/4096 and a threshold in 64: numbers for the whole layer, or one a channel."""
    return Neuron(*(np.atleast_1d(value) for value in (current, voltage, threshold)))


def cuba(threshold: Any = 60) -> Neuron:
    """A leaky neuron, current decay 1024 and voltage decay 256."""
    return neuron(1024, 256, threshold)


def dense(weight: Any, number: int = 0, own: Neuron | None = None, **fields: Any) -> DenseLayer:
    """Of weights `[out, in]`; without neurons of its `own` it accumulates."""
    weight = np.asarray(weight, dtype=np.int64)
    return DenseLayer(number, (len(weight), 1, 1), own, weight, **fields)


def recurrent(weight: Any, back: Any, number: int, own: Neuron, **fields: Any) -> RecurrentLayer:
    """Of weights `[out, in]`, and `[out, out]` from its neurons back to them."""
    weight, back = np.asarray(weight, dtype=np.int64), np.asarray(back, dtype=np.int64)
    return RecurrentLayer(number, (len(weight), 1, 1), own, weight, back, **fields)


def network(*layers: Any, shape: tuple[int, int, int] | None = None, **fields: Any) -> NetxModel:
    """Of layers; the shape of the input is theirs (a convolution does not say it: give it)."""
    if shape is None:
        first = layers[0]
        assert not isinstance(first, ConvLayer), "a convolution does not say its input's shape"
        weight = getattr(first, "weight", None)
        shape = (weight.shape[1], 1, 1) if isinstance(weight, np.ndarray) else first.shape
    return NetxModel(shape, layers, **fields)


def mlp(
    *sizes: int, seed: int = 0, threshold: int = 60, low: int = -30, **fields: Any
) -> NetxModel:
    """Dense layers of leaky neurons with random even weights from 2 `low` to 118, without biases.

    `fields` replace those of the last layer.
    """
    rng = np.random.default_rng(seed)
    drawn = [2 * rng.integers(low, 60, (out, size)) for size, out in pairwise(sizes)]
    last = len(drawn) - 1
    return network(
        *(
            dense(weight, number, cuba(threshold), **(fields if number == last else {}))
            for number, weight in enumerate(drawn)
        )
    )


def events(batch: int, *shape: int, rate: float = 0.4, seed: int = 0) -> torch.Tensor:
    """Random spikes, uint8 `[batch, C, H, W, time]`; two numbers are inputs and time."""
    axes = (shape[0], 1, 1, shape[1]) if len(shape) == 2 else shape
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(batch, *axes, generator=generator) < rate).to(torch.uint8)
