"""A network trained on the exact target: float masters, the file's integers, Lava's arithmetic."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor, nn

from neurorobust.backends.base import check_inputs
from neurorobust.backends.engine import batch_parts
from neurorobust.backends.engine.autograd import Slot, Walk, differentiable_run
from neurorobust.backends.engine.layer import LayerPlan
from neurorobust.backends.engine.memory import keep_freed
from neurorobust.backends.engine.plan import EnginePlan, make_plan
from neurorobust.backends.engine.products import check_precision
from neurorobust.backends.engine.shapes import KERNELS
from neurorobust.backends.engine.weights import even_weights, repacked, whole_biases
from neurorobust.errors import BadInput
from neurorobust.netx.model import (
    DenseLayer,
    IntArray,
    Layer,
    NetxModel,
    RecurrentLayer,
    SynapseLayer,
)
from neurorobust.surrogates import DEFAULT, Backward, BackwardMode
from neurorobust.types import Drive, Inputs, Run


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
            self.weights[name] = _master(layer.weight)
            if isinstance(layer, RecurrentLayer):
                self.feedback[name] = _master(layer.weight_rec)
            if layer.bias is not None:
                self.biases[name] = _master(layer.bias)
        if not self.weights:
            raise BadInput("trainable engine: the network has no layer with weights")
        self._plan = make_plan(self.trained())

    def forward(self, inputs: Inputs) -> Run:
        """Run a batch; floats with gradients, as `DifferentiableBackend.forward`.

        Args:
            inputs: spikes (uint8 will do) or `Drive`; floats carry gradients too.

        Raises:
            BadInput: inputs that do not fit.
            ModelFileError: the masters became a matrix that Lava cannot pack, all zero.
        """
        values = inputs.bias_mant if isinstance(inputs, Drive) else inputs
        fixed = values.detach()
        check_inputs(self.model, Drive(fixed, inputs.steps) if isinstance(inputs, Drive) else fixed)
        plan = self._current_plan()
        steps = inputs.steps if isinstance(inputs, Drive) else inputs.shape[4]
        skipped = plan.layers[0].synapse is None and not isinstance(inputs, Drive)
        layers = plan.layers[1:] if skipped else plan.layers
        slots, masters = self._slots(layers)
        walk = Walk(
            layers=layers,
            source=self.model.input_shape,
            steps=steps,
            mode=self.mode,
            precision=self.gradient,
            slots=slots,
        )
        return Run(*differentiable_run(walk, values, *masters), {})

    def trained(self) -> NetxModel:
        """The network with the integers that the masters stand for; `write` makes a file of it."""
        return dataclasses.replace(
            self.model,
            layers=tuple(self._stored(layer) for layer in self.model.layers),
            sha256="",
            path="",
        )

    def _stored(self, layer: Layer) -> Layer:
        if not isinstance(layer, SynapseLayer):
            return layer
        name, bias = str(layer.number), layer.bias
        weight = _integers(even_weights(self.weights[name]))
        if bias is not None:
            bias = _integers(whole_biases(self.biases[name]))
        if isinstance(layer, RecurrentLayer):
            back = _integers(even_weights(self.feedback[name]))
            return dataclasses.replace(layer, weight=weight, bias=bias, weight_rec=back)
        return dataclasses.replace(layer, weight=weight, bias=bias)

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

    def _slots(self, layers: tuple[LayerPlan, ...]) -> tuple[tuple[Slot, ...], list[Tensor]]:
        slots, masters = [], []
        delays = {layer.number: _delays(layer) for layer in _trained(self.model)}
        for place, layer in enumerate(layers):
            for name, group in self._groups():
                if str(layer.number) in group:
                    slots.append(Slot(place, name, delays[layer.number]))
                    masters.append(group[str(layer.number)])
        return tuple(slots), masters

    def _groups(self) -> tuple[tuple[str, nn.ParameterDict], ...]:
        return ("weight", self.weights), ("weight_rec", self.feedback), ("bias", self.biases)


def _trained(model: NetxModel) -> list[SynapseLayer]:
    return [layer for layer in model.layers if isinstance(layer, SynapseLayer)]


def _delays(layer: SynapseLayer) -> Tensor | None:
    delay = layer.delay if isinstance(layer, DenseLayer) else None
    return None if delay is None else torch.from_numpy(np.asarray(delay, dtype=np.int64))


def _master(values: IntArray) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values, dtype=torch.float32))


def _integers(values: Tensor) -> IntArray:
    integers: IntArray = values.cpu().numpy().astype(np.int64)
    return integers
