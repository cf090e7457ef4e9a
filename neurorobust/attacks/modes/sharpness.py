"""ASSG: a surrogate whose sharpness follows each potential over the iterations of an attack."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from neurorobust.errors import BadInput
from neurorobust.surrogates import BackwardMode, LayerView, Surrogate

MOMENTUM = 0.9  # of both moving averages
RELAXATION = 1.5  # weight of the mean deviation beside the mean
TINY = 1e-4


@dataclass(frozen=True)
class AdaptiveSharpness:
    """The adaptive sharpness surrogate gradient.

    With x = (v - theta) / theta of one sample, neuron and step, at the k-th gradient of an attack:

        M <- 0.9 M + 0.1 |x|          from 1
        D <- 0.9 D + 0.1 ||x| - M|    from 0
        alpha = (2 tan(pi A) / pi) / (M + 1.5 D + 1e-4)
        ds/dx = alpha / (2 (1 + (pi alpha x / 2)^2))

    M and D belong to one attack call; of several draws that are averaged the first updates them.

    Paper: Wang et al., "Towards reliable evaluation of adversarial robustness for spiking neural
    networks", arXiv:2512.22522; they search A on the test set, here it is the mode's parameter.
    Our form: x is over theta, as theirs is with theta 1.

    Attributes:
        vanishing: A, half the share of vanishing gradients that is let happen, in (0, 0.5); the
            paper's default is 0.425 (0.455 to 0.465 for Poisson inputs).
    """

    vanishing: float = 0.425

    def __post_init__(self) -> None:
        if not 0 < self.vanishing < 0.5:
            raise BadInput(f"assg: A {self.vanishing} outside (0, 0.5)")

    @property
    def name(self) -> str:
        """`assg-0.425`."""
        return f"assg-{self.vanishing:g}"

    def start(self) -> SharpnessPass:
        """Fresh averages."""
        return SharpnessPass(2 * math.tan(math.pi * self.vanishing) / math.pi)


@dataclass
class SharpnessPass:
    """One attack call's averages, of every layer, sample, step and neuron.

    Attributes:
        sharpness: alpha where M + 1.5 D + 1e-4 is 1.
    """

    sharpness: float
    updating: bool = True
    moments: dict[int, dict[int, Tensor]] = field(default_factory=dict)
    kept: dict[int, Tensor] = field(default_factory=dict)

    @property
    def backward(self) -> BackwardMode:
        """A scale on top of ds/dv = 1 / theta."""
        return BackwardMode(Surrogate("straight-through", 1.0), scale=self.scale)

    def begin(self, draw: int) -> None:
        """Only the first draw updates the averages."""
        self.updating = draw == 0

    def keep(self, rows: Tensor) -> None:
        """Drop the other samples' averages."""
        for number, whole in self._whole().items():
            self.kept[number] = whole[:, rows.to(whole.device)].contiguous()
        self.moments = {}

    def scale(self, view: LayerView) -> Tensor:
        """The hook: ds/dx, after the averages were updated."""
        x = view.distance().abs_()
        mean, deviation = self._of(view)
        if self.updating:
            mean.lerp_(x, 1 - MOMENTUM)
            deviation.lerp_((x - mean).abs_(), 1 - MOMENTUM)
        alpha = torch.add(mean, deviation, alpha=RELAXATION).add_(TINY)
        alpha = alpha.reciprocal_().mul_(self.sharpness)
        bell = x.mul_(alpha).mul_(math.pi / 2).square_().add_(1).reciprocal_()
        return bell.mul_(alpha).mul_(0.5)

    def _of(self, view: LayerView) -> Tensor:
        """M and D of the view's samples, `[2, samples, time, neurons]`, to be changed in place.

        Raises:
            BadInput: other samples than before, and `keep` did not say so.
        """
        known = self.moments.setdefault(view.number, {})
        if view.first not in known:
            known[view.first] = self._start(view)
        found = known[view.first]
        if found.shape[1:] != view.voltage.shape:
            raise BadInput(
                f"assg: layer {view.number} has {tuple(view.voltage.shape)} potentials, its "
                f"averages are of {tuple(found.shape[1:])}: name the rows that stay with keep"
            )
        return found

    def _start(self, view: LayerView) -> Tensor:
        whole = self.kept.get(view.number)
        if whole is not None:
            return whole[:, view.first : view.first + len(view.voltage)]
        fresh = view.voltage.new_zeros((2, *view.voltage.shape))
        fresh[0] = 1
        return fresh

    def _whole(self) -> dict[int, Tensor]:
        """Every layer's averages of the whole batch."""
        return {
            number: torch.cat([pieces[first] for first in sorted(pieces)], 1)
            for number, pieces in self.moments.items()
        } or self.kept
