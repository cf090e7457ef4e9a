"""What the backward pass believes of the spike: plain values, no code of the engine.

With x = (v - theta) / (width * theta), v before the reset and theta = vThMant << 6, the derivative
of a spike with respect to v is taken as shape(x) / (width * theta):

    fast-sigmoid      1 / (1 + |x|)^2            Zenke & Ganguli, Neural Computation 30 (2018)
    triangle          max(0, 1 - |x|)            Esser et al., PNAS 113 (2016)
    atan              1 / (1 + (pi x / 2)^2)     Fang et al., ICCV 2021
    straight-through  1                          Bengio et al., arXiv:1308.3432
    sigmoid           4 l(4x) (1 - l(4x))        l the logistic function; Zenke & Vogels, Neural
                                                 Computation 33 (2021)
    gaussian          exp(-pi x^2)               Yin et al., Nature Machine Intelligence 3 (2021)
    rectangle         1 where |x| < 1/2, else 0  Wu et al., Frontiers in Neuroscience 12 (2018)

All peak at 1; triangle, sigmoid, gaussian and rectangle have an area of 1, fast-sigmoid and atan of
2. Two common names: `sigmoid` of slope alpha is width 4 / alpha here, `ATan` of alpha is width
1 / alpha times 2.

A neuron with vThMant below 1 (0 and negative thresholds are legal) has no width of its own: there
width * theta is taken as width * 64, that of vThMant = 1; x still measures from the true theta.

Everything else that a published backward pass does differently is a hook or switch of a
`BackwardMode`; see there which mode uses which.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from neurorobust.errors import BadInput

Shape: TypeAlias = Callable[[Tensor], Tensor]


def _fast_sigmoid(x: Tensor) -> Tensor:
    return x.abs().add(1).square().reciprocal()


def _triangle(x: Tensor) -> Tensor:
    return x.abs().neg().add(1).clamp_min(0)


def _atan(x: Tensor) -> Tensor:
    return x.mul(math.pi / 2).square().add(1).reciprocal()


def _sigmoid(x: Tensor) -> Tensor:
    tail = x.abs().mul(-4).exp()
    return 4 * tail / (1 + tail).square()


def _gaussian(x: Tensor) -> Tensor:
    return x.square().mul(-math.pi).exp()


def _rectangle(x: Tensor) -> Tensor:
    return (x.abs() < 0.5).to(x.dtype)


# shape(x), the peak being 1 at x = 0. The engine has a kernel for each of these; one that is
# registered beside them goes through a hook there (`BackwardMode.spelled`), slower and equal.
SHAPES: dict[str, Shape] = {
    "fast-sigmoid": _fast_sigmoid,
    "triangle": _triangle,
    "atan": _atan,
    "straight-through": torch.ones_like,
    "sigmoid": _sigmoid,
    "gaussian": _gaussian,
    "rectangle": _rectangle,
}


@dataclass(frozen=True)
class Surrogate:
    """A shape and a width (as a fraction of the threshold)."""

    shape: str = "fast-sigmoid"
    width: float = 0.25

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise BadInput(f"surrogate: shape {self.shape!r} unknown, known: {', '.join(SHAPES)}")
        if not self.width > 0:
            raise BadInput(f"surrogate: width {self.width} not above 0")

    def derivative(self, x: Tensor) -> Tensor:
        """shape(x), the peak being 1 at x = 0."""
        return SHAPES[self.shape](x)


DEFAULT = Surrogate()


@dataclass(frozen=True, eq=False)
class LayerView:
    """One layer of one part of a batch, as it fired: what a hook may look at, and not change.

    Neurons are in H, W, C order, values in Lava's units.

    Attributes:
        number: the layer's place in the file.
        first: place of the part's first sample in the batch.
        voltage: float32 `[samples, time, neurons]`, v before the reset.
        spikes: `[samples, time, neurons]`, 0 and 1.
        theta: float32 `[neurons]`, vThMant << 6.
        kept: float32 `[2, neurons]`, the fractions of u and of v that a step keeps; that of u is 0
            in an on-chip input layer, which has none.
        shape: C, H, W of the layer.
        input: computes float32 `[samples, neurons]`: the mean over time of what a step adds to u,
            64 * a, and to v, 64 * bias.
    """

    number: int
    first: int
    voltage: Tensor
    spikes: Tensor
    theta: Tensor
    kept: Tensor
    shape: tuple[int, int, int]
    input: Callable[[], Tensor]

    def distance(self) -> Tensor:
        """(v - theta) / theta, `[samples, time, neurons]`; theta at least that of vThMant = 1."""
        return (self.voltage - self.theta) / self.theta.clamp_min(64)

    def mean_input(self) -> Tensor:
        """See `input`."""
        return self.input()


Hook: TypeAlias = Callable[[LayerView], Tensor]


@dataclass(frozen=True)
class BackwardMode:
    """A backward pass: a surrogate, and where that does not say it all, a hook.

    `scale` multiplies ds/dv and returns what broadcasts to `[samples, time, neurons]`. On top of a
    straight-through surrogate of width 1 (ds/dv = 1 / theta) it can be any ds/dv:

        BPTR (SNN-RAT)       `fired` below
        PDSG, ASSG           a density of `distance()`, its width from statistics that the hook
                             itself keeps, by `number` and `first`
        raised threshold     (Liang et al.) 0 or a shifted shape at one layer's `number`

    `rate` replaces the adjoint over time by one over the mean over time (RGA): it returns float32
    `[samples, neurons]`, the derivative of the firing rate with respect to `mean_input()`. A layer
    passes back the same gradient at every step; a membrane that is read out passes back the mean
    over time of its own.

    `averaged` cuts the memory of u and v (da of a step moves v of that step alone, by 64) and gives
    every step of a layer's input the mean over time of the gradients that result (HART); a membrane
    that is read out passes back the mean over time of its own, as with `rate`.

    Called in the backward pass, from the last layer to the first, once a layer and part.

    Attributes:
        surrogate: shape and width of ds/dv; with `rate` it is not used.
        scale: see above.
        rate: see above.
        averaged: see above; may be scaled.
        whole_batch: a hook depends on the samples beside it: the batch is one part.
    """

    surrogate: Surrogate = DEFAULT
    scale: Hook | None = None
    rate: Hook | None = None
    whole_batch: bool = False
    averaged: bool = False

    def __post_init__(self) -> None:
        if self.rate is not None and self.averaged:
            raise BadInput("backward mode: rate and averaged given, a rate has no steps to average")
        if self.scale is not None and self.rate is not None:
            raise BadInput("backward mode: scale and rate given, a rate has no steps to scale")

    @classmethod
    def of(cls, backward: Backward) -> BackwardMode:
        """A surrogate alone is a mode without hooks."""
        return cls(backward) if isinstance(backward, Surrogate) else backward

    def spelled(self, kernels: Container[str]) -> BackwardMode:
        """The same backward pass for an engine that has kernels for these shapes.

        ds/dv of another shape is written as a factor of 1 / theta, that of straight-through.
        """
        surrogate, scale = self.surrogate, self.scale
        if surrogate.shape in kernels:
            return self

        def shaped(view: LayerView) -> Tensor:
            found = surrogate.derivative(view.distance() / surrogate.width) / surrogate.width
            return found if scale is None else found * scale(view)

        return replace(
            self,
            surrogate=Surrogate("straight-through", 1.0),
            scale=None if self.rate is not None else shaped,
        )


Backward: TypeAlias = "Surrogate | BackwardMode"


def fired(view: LayerView) -> Tensor:
    """1 where a neuron spiked at least once, else 0: BPTR's mask (Ding et al., SNN-RAT, 2022).

    Example:
        >>> bptr = BackwardMode(Surrogate("straight-through", 1.0), scale=fired)
    """
    return view.spikes.amax(1, keepdim=True)
