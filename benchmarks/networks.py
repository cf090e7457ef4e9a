"""Random dense networks whose layers fire at about a given rate, and spikes to feed them."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import torch

from neurorobust.backends.engine import EngineBackend
from neurorobust.netx.model import DenseLayer, NetxModel, Neuron
from neurorobust.types import Spikes

CURRENT_DECAY, VOLTAGE_DECAY = 1024, 128  # of 4096: 0.25 and 0.03125
WEIGHT_SPREAD = 12.0  # standard deviation; weights are even, so that int8 holds them halved
RATE = 0.1
DENSITY = 0.1


def spikes(batch: int, inputs: int, steps: int, density: float, seed: int = 0) -> Spikes:
    """Uint8 `[batch, inputs, 1, 1, steps]`, each 1 with probability `density`."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.empty((batch, inputs, 1, 1, steps), dtype=torch.uint8)
    return drawn.bernoulli_(density, generator=generator)


@functools.lru_cache(maxsize=64)
def dense_network(
    sizes: tuple[int, ...], steps: int, rate: float = RATE
) -> tuple[NetxModel, tuple[float, ...]]:
    """Layers of normal weights; thresholds are found one after the other by bisection.

    Returns:
        The network, and how often its layers' neurons fire a step on random spikes.
    """
    generator = np.random.default_rng(0)
    probe = spikes(16, sizes[0], steps, DENSITY, seed=1)
    layers: list[DenseLayer] = []
    rates: list[float] = []
    for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        drawn = np.rint(generator.normal(0, WEIGHT_SPREAD, (outputs, inputs)) / 2) * 2
        weight = np.clip(drawn, -256, 254).astype(np.int64)
        low, high = 1, 1 << 14
        while high - low > 1:
            threshold = (low + high) // 2
            tried = [*layers, _layer(number, weight, threshold)]
            model = NetxModel((sizes[0], 1, 1), tuple(tried))
            fired = float(EngineBackend(model).run(probe).spikes.to(torch.float32).mean())
            low, high = (threshold, high) if fired > rate else (low, threshold)
        layers.append(_layer(number, weight, high))
        model = NetxModel((sizes[0], 1, 1), tuple(layers))
        rates.append(round(float(EngineBackend(model).run(probe).spikes.float().mean()), 3))
    return model, tuple(rates)


def _layer(number: int, weight: np.ndarray, threshold: int) -> DenseLayer:
    neuron = Neuron(np.array([CURRENT_DECAY]), np.array([VOLTAGE_DECAY]), np.array([threshold]))
    return DenseLayer(number, (len(weight), 1, 1), neuron, weight)
