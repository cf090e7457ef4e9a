"""From a caller's tensors to the engine's and back."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from neurorobust.backends.engine.layer import LayerPlan
from neurorobust.backends.engine.layout import public
from neurorobust.backends.engine.lif_cpu import Steps
from neurorobust.types import LayerTrace


def one_late(spikes: Tensor) -> Tensor:
    """`[batch, time, neurons]` one step later, a step of silence before it."""
    return torch.nn.functional.pad(spikes, (0, 0, 1, 0))[:, :-1]


class Answer:
    """What a run returns, filled in chunk by chunk."""

    def __init__(
        self, layers: tuple[LayerPlan, ...], batch: int, steps: int, record: Collection[int]
    ) -> None:
        def empty(layer: LayerPlan, dtype: torch.dtype) -> Tensor:
            return torch.empty((batch, layer.neurons, steps), dtype=dtype)

        self.spikes = empty(layers[-1], torch.uint8)
        self.membrane = torch.empty((batch, layers[-1].neurons), dtype=torch.int32)
        self.layers = {
            layer.number: LayerTrace(
                empty(layer, torch.uint8), empty(layer, torch.int32), empty(layer, torch.int32)
            )
            for layer in layers
            if layer.number in record
        }

    def trace(self, layer: LayerPlan, some: slice, done: Steps) -> None:
        """Write down a layer that is recorded."""
        if done.voltage is None or done.current is None:
            return
        into = self.layers[layer.number]
        into.spikes[some] = public(done.spikes, layer.shape)
        into.u[some] = public(done.current, layer.shape)
        into.v[some] = public(done.voltage * (1 - done.spikes), layer.shape)

    def end(self, layer: LayerPlan, some: slice, done: Steps) -> None:
        """Write down the last layer's answer."""
        if layer.shape[1:] == (1, 1):  # nothing to reorder; what follows takes 10 microseconds
            self.spikes[some], self.membrane[some] = done.spikes.transpose(1, 2), done.state[1]
            return
        self.spikes[some] = public(done.spikes, layer.shape)
        self.membrane[some] = public(done.state[1][:, None], layer.shape)[..., 0]
