"""The first layers of a network as a network of their own, so that gradients reach inside."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from weakref import WeakKeyDictionary

import numpy as np

from neurorobust.backends.engine import EngineBackend
from neurorobust.fixedpoint import ACCUMULATOR_THRESHOLD, DECAY_UNITY
from neurorobust.netx.model import ACCUMULATOR, InputLayer, NetxModel, SynapseLayer

_made: WeakKeyDictionary[NetxModel, dict[tuple[str, int], EngineBackend]] = WeakKeyDictionary()


def up_to(model: NetxModel, number: int) -> EngineBackend:
    """The layers up to this one; its spikes are the output. Kept as long as the model."""
    return _known(model, "spikes", number, lambda: EngineBackend(_cut(model, number)))


def current_of(model: NetxModel, number: int) -> EngineBackend:
    """The same, with the last layer's u as its membrane: v forgets at once and never spikes."""

    def make() -> EngineBackend:
        cut = _cut(model, number)
        last = cut.layers[-1]
        assert isinstance(last, SynapseLayer)
        neuron = dataclasses.replace(
            last.neuron or ACCUMULATOR,
            voltage_decay=np.array(DECAY_UNITY),
            threshold=np.array(ACCUMULATOR_THRESHOLD),
        )
        shown = dataclasses.replace(last, neuron=neuron, bias=None)
        return EngineBackend(cut.with_layers((*cut.layers[:-1], shown)))

    return _known(model, "current", number, make)


def _cut(model: NetxModel, number: int) -> NetxModel:
    kept = tuple(layer for layer in model.layers if layer.number <= number)
    assert any(isinstance(layer, SynapseLayer | InputLayer) for layer in kept)
    return model.with_layers(kept)


def _known(
    model: NetxModel, kind: str, number: int, make: Callable[[], EngineBackend]
) -> EngineBackend:
    known = _made.setdefault(model, {})
    if (kind, number) not in known:
        known[kind, number] = make()
    return known[kind, number]
