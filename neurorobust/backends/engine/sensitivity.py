"""The gradient of a loss with respect to a deployed network's integer weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neurorobust.backends.engine.autograd import LayerPass, TrainedTensor, differentiable_run
from neurorobust.backends.engine.backend import EngineBackend
from neurorobust.backends.engine.shapes import KERNELS
from neurorobust.backends.engine.weights import delays
from neurorobust.surrogates import Backward, BackwardMode
from neurorobust.types import Inputs, Run

Place = tuple[int, str]  # a layer's number, and the name of one of its `matrices`


def weight_gradients(
    engine: EngineBackend, inputs: Inputs, mode: Backward, loss: Callable[[Run], Tensor]
) -> dict[Place, npt.NDArray[np.float32]]:
    """What the loss would gain for 1 more of each weight, to first order, by a backward mode.

    Args:
        engine: on the CPU.
        inputs: spikes or drive, exact integers.
        mode: the backward pass.
        loss: of a run, a scalar.

    Returns:
        for every matrix of the file float32 of its shape, by layer number and name.
    """
    layers = engine.plan.fed(inputs.driven)
    stored = {layer.number: layer for layer in engine.model.spiking_layers}
    slots: list[TrainedTensor] = []
    leaves: list[Tensor] = []
    for place, planned in enumerate(layers):
        layer = stored[planned.number]
        for name, weight in layer.matrices().items():
            slots.append(TrainedTensor(place, name, delays(layer)))
            leaves.append(torch.zeros(weight.shape).requires_grad_())
    values = inputs.values
    layer_pass = LayerPass(
        layers=layers,
        source=engine.model.input_shape,
        steps=inputs.steps,
        mode=BackwardMode.of(mode).spelled(KERNELS),
        precision=engine.gradient,
        slots=tuple(slots),
    )
    with torch.set_grad_enabled(True):
        run = Run(*differentiable_run(layer_pass, values, *leaves), {})
        found = torch.autograd.grad(loss(run), leaves)
    return {
        (layers[slot.place].number, slot.name): gradient.numpy()
        for slot, gradient in zip(slots, found, strict=True)
    }
