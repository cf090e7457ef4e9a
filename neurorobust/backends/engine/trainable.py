"""A network trained on the exact target: float masters, the file's integers, Lava's arithmetic."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor, nn

from neurorobust.backends.base import check_inputs
from neurorobust.backends.engine import batch_parts
from neurorobust.backends.engine.autograd import LayerPass, TrainedTensor, differentiable_run
from neurorobust.backends.engine.layer import LayerPlan
from neurorobust.backends.engine.matmul import check_precision
from neurorobust.backends.engine.memory import keep_freed
from neurorobust.backends.engine.plan import EnginePlan, make_plan
from neurorobust.backends.engine.shapes import KERNELS
from neurorobust.backends.engine.weights import delays, even_weights, repacked, whole_biases
from neurorobust.errors import BadInput
from neurorobust.netx.model import IntArray, Layer, NetxModel, SynapseLayer
from neurorobust.surrogates import DEFAULT, Backward, BackwardMode
from neurorobust.types import Inputs, Run


class TrainableEngine(nn.Module):
    """`EngineBackend.forward` with respect to weights and biases too.

    Every call rounds the float masters to the integers of a `.net` file (`weights`: even ones in
    [-256, 254], biases of 13 bits), computes exactly what Lava computes with these, and passes
    gradients straight through the rounding (Bengio et al., arXiv:1308.3432). Masters are in units
    of the integers: a step of an optimiser that shall change a weight has to move it by about 1.

    Thresholds, decays and delays are the model's and stay.

    Args:
        model: the network to start from. Its odd weights are rounded.
        mode: the backward pass.
        gradient: precision of its products, `float32` or `bfloat16`.

    Attributes:
        weights: masters by the layer's number, `[out, in]` or `[out, in / groups, kH, kW]`.
        feedback: masters of `weight_rec`, of recurrent layers.
        biases: masters by the layer's number, `[out]`, of layers that have biases.

    Example:
        >>> from neurorobust.netx import read, write
        >>> net = TrainableEngine(read("model.net"))
        >>> optimiser = torch.optim.Adam(net.parameters(), lr=1.0)
        >>> torch.nn.functional.cross_entropy(net(spikes).spikes.sum(-1), labels).backward()
        >>> optimiser.step()
        >>> write(net.trained(), "better.net").input_shape
        (16, 1, 1)

    Raises:
        ModelFileError: as `EngineBackend`.
        BadInput: no layer to train, or an unknown precision.
    """

    def __init__(
        self, model: NetxModel, mode: Backward = DEFAULT, gradient: str = "float32"
    ) -> None:
        super().__init__()
        check_precision(gradient)
        keep_freed()
        self.model, self.gradient = model, gradient
        self.mode = BackwardMode.of(mode).spelled(KERNELS)
        self.weights, self.biases = nn.ParameterDict(), nn.ParameterDict()
        self.feedback = nn.ParameterDict()
        for layer in _trained(model):
            name = str(layer.number)
            for matrix, values in layer.matrices().items():
                self._matrices[matrix][name] = _master(values)
            if layer.bias is not None:
                self.biases[name] = _master(layer.bias)
        if not self.weights:
            raise BadInput("trainable engine: the network has no layer with weights")
        self._plan = make_plan(self.trained())

    def forward(self, inputs: Inputs | Tensor) -> Run:
        """Run a batch; floats with gradients, as `DifferentiableBackend.forward`.

        Args:
            inputs: spikes (uint8 will do) or drive; floats carry gradients too.

        Raises:
            BadInput: inputs that do not fit.
            ModelFileError: the masters became a matrix that Lava cannot pack, all zero.
        """
        inputs = Inputs.of(inputs)
        check_inputs(self.model, inputs)
        layers = self._current_plan().fed(inputs.driven)
        slots, masters = self._slots(layers)
        layer_pass = LayerPass(
            layers=layers,
            source=self.model.input_shape,
            steps=inputs.steps,
            mode=self.mode,
            precision=self.gradient,
            slots=slots,
        )
        return Run(*differentiable_run(layer_pass, inputs.values, *masters), {})

    def trained(self) -> NetxModel:
        """The network with the integers that the masters stand for; `write` makes a file of it."""
        return self.model.with_layers(self._stored(layer) for layer in self.model.layers)

    def _stored(self, layer: Layer) -> Layer:
        if not isinstance(layer, SynapseLayer):
            return layer
        name, bias = str(layer.number), layer.bias
        if bias is not None:
            bias = _integers(whole_biases(self.biases[name]))
        matrices = {
            matrix: _integers(even_weights(self._matrices[matrix][name]))
            for matrix in layer.matrices()
        }
        return dataclasses.replace(layer.with_matrices(matrices), bias=bias)

    def _current_plan(self) -> EnginePlan:
        """`make_plan(self.trained())`, by a shorter way where that is certain to be the same."""
        stored = {layer.number: layer for layer in _trained(self.model)}
        layers = self._plan.layers
        sources = [self.model.input_shape, *(layer.shape for layer in layers)]

        def change(place: int) -> LayerPlan | None:
            layer = layers[place]
            if layer.number not in stored:
                return layer
            name = str(layer.number)
            weight = even_weights(self.weights[name])
            bias = whole_biases(self.biases[name]) if name in self.biases else None
            return repacked(stored[layer.number], layer, sources[place], weight, bias)

        changed = [layer for layer in batch_parts.each(change, len(layers)) if layer is not None]
        if len(changed) < len(layers):
            return make_plan(self.trained())
        self._plan = dataclasses.replace(self._plan, layers=tuple(changed))
        return self._plan

    def _slots(
        self, layers: tuple[LayerPlan, ...]
    ) -> tuple[tuple[TrainedTensor, ...], list[Tensor]]:
        slots, masters = [], []
        late = {layer.number: delays(layer) for layer in _trained(self.model)}
        for place, layer in enumerate(layers):
            for name, group in (*self._matrices.items(), ("bias", self.biases)):
                if str(layer.number) in group:
                    slots.append(TrainedTensor(place, name, late[layer.number]))
                    masters.append(group[str(layer.number)])
        return tuple(slots), masters

    @property
    def _matrices(self) -> dict[str, nn.ParameterDict]:
        """Masters by the name of the layer's matrix, then by its number."""
        return {"weight": self.weights, "weight_rec": self.feedback}


def _trained(model: NetxModel) -> list[SynapseLayer]:
    return [layer for layer in model.layers if isinstance(layer, SynapseLayer)]


def _master(values: IntArray) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values, dtype=torch.float32))


def _integers(values: Tensor) -> IntArray:
    integers: IntArray = values.cpu().numpy().astype(np.int64)
    return integers
