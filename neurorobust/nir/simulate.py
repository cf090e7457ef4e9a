"""The float network that a graph stands for: what quantisation is measured against."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from neurorobust.backends.base import ALIGNED, InProcess, check_clock, check_inputs
from neurorobust.errors import BadInput
from neurorobust.netx.model import NetxModel
from neurorobust.nir.layers import FloatLayer, Floats
from neurorobust.types import Inputs, Run


class FloatNetwork(InProcess):
    """A backend that runs float layers, without latency, from zero state, in float64.

    Args:
        model: the network in integers; its shapes are taken.
        layers: as `read_graph` gives them.
    """

    name = "nir-float"
    about = "the graph's own layers in floats, before they are rounded"
    query_batch = 64

    def __init__(self, model: NetxModel, layers: tuple[FloatLayer, ...]) -> None:
        self.model = model
        self.layers = layers

    def run(
        self, inputs: Inputs | Tensor, record: Collection[int] = (), clock: str = ALIGNED
    ) -> Run:
        """See `Backend.run`; layers cannot be recorded, the membrane is float32.

        Raises:
            BadInput: drive, a recorded layer or another clock.
        """
        check_clock(clock, self.name, known=[ALIGNED])
        inputs = Inputs.of(inputs)
        if inputs.driven or record:
            raise BadInput(f"{self.name}: takes spikes, records no layers")
        check_inputs(self.model, inputs)
        spikes = inputs.values.to(torch.float64)
        voltage = torch.empty(0)
        for layer in self.layers:
            spikes, voltage = _fire(layer, spikes)
        return Run(spikes.flatten(1, 3).to(torch.uint8), voltage.flatten(1).to(torch.float32), {})


def _fire(layer: FloatLayer, spikes: Tensor) -> tuple[Tensor, Tensor]:
    """Spikes `[batch, C, H, W, time]` in, spikes and the last v out."""
    batch, steps = len(spikes), spikes.shape[-1]
    flat = spikes.movedim(-1, 1).flatten(0, 1)
    synapses, weight = layer.synapses, torch.from_numpy(layer.weight)
    if synapses.dense:
        sums = flat.flatten(1) @ weight.T
    else:
        sums = torch.nn.functional.conv2d(
            flat, weight, None, synapses.stride, synapses.padding, synapses.dilation,
            synapses.groups,
        )  # fmt: skip
    sums = sums.reshape(batch, steps, *layer.shape)
    keep_u, keep_v, bias, theta = (
        _by_channel(values) for values in (layer.keep_u, layer.keep_v, layer.bias, layer.threshold)
    )
    u = v = torch.zeros(batch, *layer.shape, dtype=torch.float64)
    fired = []
    for step in range(steps):
        u = keep_u * u + sums[:, step]
        v = keep_v * v + u + bias
        spike = v > theta
        v = torch.where(spike, 0.0, v)
        fired.append(spike.to(torch.float64))
    return torch.stack(fired, -1), v


def _by_channel(values: Floats) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).reshape(-1, 1, 1)
