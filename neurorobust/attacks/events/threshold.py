"""The backward pass of a network whose penultimate layer has a higher threshold."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from neurorobust.attacks.modes import Constant, Mode
from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput
from neurorobust.surrogates import BackwardMode, LayerView, Surrogate


@dataclass(frozen=True)
class Raised:
    """ds/dv of a surrogate, at one layer as if theta were `factor` times as high.

    With x = (v - theta) / theta and a surrogate of some shape and width, ds/dv there is
    shape((x - (factor - 1)) / width) / (width * theta). Neurons near the raised threshold carry the
    gradient; the forward pass, and so every answer, is that of the network as it is.

    Attributes:
        surrogate: of every layer.
        number: of the layer, in the file.
        factor: above 0.
    """

    surrogate: Surrogate
    number: int
    factor: float

    def __call__(self, view: LayerView) -> Tensor:
        """The scale of a straight-through surrogate (ds/dv = 1 / theta)."""
        distance = view.distance()
        if view.number == self.number:
            distance = distance - (self.factor - 1)
        return self.surrogate.derivative(distance / self.surrogate.width) / self.surrogate.width


def raised(mode: Mode, classifier: Classifier, factor: float) -> Mode:
    """The mode with the penultimate spiking layer's threshold raised in the backward pass.

    Args:
        mode: a plain surrogate, where the factor is not 1.
        classifier: on the network in question.
        factor: of the threshold; 1 returns the mode itself, and so does a network of one layer.

    Raises:
        BadInput: a mode that is no plain surrogate.
    """
    layers = classifier.backend.model.spiking_layers
    if factor == 1 or len(layers) < 2:
        return mode
    surrogate = mode.backward if isinstance(mode, Constant) else None
    if not isinstance(surrogate, Surrogate):
        raise BadInput(f"mode {mode.name!r}: no plain surrogate, its threshold cannot be raised")
    hook = Raised(surrogate, layers[-2].number, factor)
    name = f"{mode.name}-raised-{factor:g}"
    return Constant(name, BackwardMode(Surrogate("straight-through", 1.0), scale=hook))
