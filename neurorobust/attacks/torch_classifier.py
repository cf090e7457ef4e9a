"""A torch module on pixels as a classifier, for instance an ANN to transfer attacks from."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor, nn

from neurorobust.backends.base import ALIGNED, InProcess, check_clock
from neurorobust.classifier import Classifier
from neurorobust.encoders import Shape
from neurorobust.errors import BadInput
from neurorobust.netx.model import DenseLayer, NetxModel
from neurorobust.readouts import Readout
from neurorobust.surrogates import Backward
from neurorobust.types import Inputs, Run


class PixelEncoder:
    """x as it is: images float `[batch, C, H, W]` in [0, 1]; the module normalises, if it wants to.

    Attributes:
        input_shape: (C, H, W) of the images.
    """

    name, domain, steps, random = "pixels", "images", 1, False

    def __init__(self, input_shape: Shape) -> None:
        self.input_shape = input_shape

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Inputs:
        """The pixels, float32, as drive for one step; the generator is not used.

        Raises:
            BadInput: other images.
        """
        if tuple(x.shape[1:]) != self.input_shape:
            raise BadInput(
                f"pixels: images {tuple(x.shape[1:])}, the module takes {self.input_shape}"
            )
        return Inputs.drive(x.to(torch.float32), 1)

    forward = encode


class ModuleBackend(InProcess):
    """A torch module in the place of a spiking network: its logits are the "membrane".

    Attributes:
        module: `[batch, C, H, W]` -> logits `[batch, classes]`; used in evaluation mode, its
            parameters are left alone.
        model: stands for it in records: no weights, the sha256 of the module's.
    """

    name = "module"
    about = "a torch module in the place of a spiking network"
    query_batch = 64

    def __init__(self, module: nn.Module, input_shape: Shape, classes: int) -> None:
        self.module = module
        nothing = np.zeros((classes, 0), dtype=np.int64)
        layer = DenseLayer(0, (classes, 1, 1), None, nothing)
        self.model = NetxModel(input_shape, (layer,), sha256=_digest(module))

    def run(self, inputs: Inputs, record: Collection[int] = (), clock: str = ALIGNED) -> Run:
        """The logits, without gradients.

        Raises:
            BadInput: layers are asked for, or another clock.
        """
        check_clock(clock, self.name, known=[ALIGNED])
        if record:
            raise BadInput(f"record: layer {next(iter(record))}, a module shows no layers")
        with torch.no_grad():
            return self._answer(inputs)

    def forward(self, inputs: Inputs, surrogate: Backward) -> Run:
        """The logits with the module's own gradients; there is no spike to have a surrogate."""
        return self._answer(inputs)

    def _answer(self, inputs: Inputs) -> Run:
        training = self.module.training
        self.module.eval()
        try:
            logits = self.module(inputs.values)
        finally:
            self.module.train(training)
        return Run(torch.zeros(*logits.shape, 1), logits, {})


def twin(module: nn.Module, input_shape: Shape, classes: int) -> Classifier:
    """A classifier around a torch module, for `transfer.Transfer`.

    Args:
        module: images `[batch, C, H, W]` in [0, 1] -> logits `[batch, classes]`.
        input_shape: (C, H, W).
        classes: number of logits.

    Raises:
        BadInput: the module does not give so many logits.
    """
    backend = ModuleBackend(module, input_shape, classes)
    given = tuple(backend.run(Inputs.drive(torch.zeros(1, *input_shape), 1)).membrane.shape)
    if given != (1, classes):
        raise BadInput(f"twin: the module gives {given}, need (1, {classes})")
    return Classifier(PixelEncoder(input_shape), backend, Readout("membrane", 1.0))


def _digest(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
