"""The adjoint of SLAYER's neurons, by the engine's convention.

ds/dv from the given mode, linear leaks, nothing through the reset, the membrane's gradient where
the neuron did not spike last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neurorobust.backends.slayer.dynamics import DRIVE_UNIT, Neurons, Steps
from neurorobust.errors import BadInput
from neurorobust.fixedpoint import STATE_SHIFT, cast_bias
from neurorobust.netx.model import InputLayer, Shape, SpikingLayer
from neurorobust.surrogates import BackwardMode, LayerView


@dataclass(frozen=True, eq=False)
class Adjoint:
    """How one layer passes gradients back.

    Attributes:
        layer: as it is exported.
        neurons: the layer's neurons.
        mode: the backward pass.
    """

    layer: SpikingLayer
    neurons: Neurons
    mode: BackwardMode

    @property
    def number(self) -> int:
        """The layer's place in the file."""
        return self.layer.number

    @property
    def shape(self) -> Shape:
        """C, H, W."""
        return self.layer.shape

    def __call__(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Spikes `[batch, ..., time]` and the membrane after the last step, with gradients."""
        fire: Callable[..., tuple[Tensor, Tensor]] = _Fire.apply
        spikes, membrane = fire(inputs, self)
        return spikes, membrane

    def back(self, inputs: Tensor, steps: Steps, to_spikes: Tensor, to_membrane: Tensor) -> Tensor:
        """The gradient of the inputs."""
        mode, neurons = self.mode, self.neurons
        seen = self._view(inputs, steps) if mode.scale or mode.rate else None
        slope = self._slope(steps.voltage)
        if mode.scale is not None:
            assert seen is not None
            slope = slope * self._answer("scale", mode.scale(seen), seen.voltage, slope)
        to_last = to_membrane * (1 - steps.spikes[..., -1])
        if mode.rate is None and not mode.averaged:
            return self._through_time(to_spikes, slope, to_last) * neurons.unit
        if neurons.feedback is not None:
            raise BadInput(
                "backward mode: a gradient of means has no adjoint through layer "
                f"{self.number} (dense_rec)"
            )
        if mode.rate is not None:
            assert seen is not None
            rate = mode.rate(seen)[:, None]
            first = slope[..., :1]
            level = to_spikes.mean(-1, keepdim=True) * self._answer(
                "rate", rate, seen.voltage[:, :1], first
            )
        else:
            level = (to_spikes * slope).mean(-1, keepdim=True)
        if bool(to_last.any()):
            silence = torch.zeros_like(slope)
            level = level + self._through_time(silence, silence, to_last).mean(-1, keepdim=True)
        return (level * neurons.unit).expand(slope.shape)

    def _slope(self, voltage: Tensor) -> Tensor:
        width = self.mode.surrogate.width * max(self.neurons.theta, DRIVE_UNIT)  # 1 vThMant or more
        return self.mode.surrogate.derivative((voltage - self.neurons.theta) / width) / width

    def _through_time(self, to_spikes: Tensor, slope: Tensor, to_last: Tensor) -> Tensor:
        """Gradients of the inputs over their unit, last step first."""
        neurons, result = self.neurons, torch.empty_like(slope)
        along_voltage, along_current = to_last, torch.zeros_like(to_last)
        for step in reversed(range(result.shape[-1])):
            gradient = to_spikes[..., step]
            if neurons.feedback is not None and step + 1 < result.shape[-1]:
                gradient = gradient + neurons.unit * result[..., step + 1] @ neurons.feedback
            here = gradient * slope[..., step] + along_voltage
            through = here + along_current
            result[..., step] = through
            along_voltage = neurons.kept_voltage * here
            along_current = neurons.kept_current * through
        return result

    def _view(self, inputs: Tensor, steps: Steps) -> LayerView:
        neurons = self.neurons
        ones = torch.ones((1, *inputs.shape[1:-1]))
        kept = torch.cat([ones * neurons.kept_current, ones * neurons.kept_voltage])
        voltage = _as_seen(steps.voltage, self.shape)

        def mean_input() -> Tensor:
            sums = inputs
            if neurons.feedback is not None:
                earlier = torch.nn.functional.pad(steps.spikes, (1, 0))[..., :-1]
                sums = sums + torch.einsum("oi,bit->bot", neurons.feedback, earlier)
            mean = _as_seen(sums.mean(-1, keepdim=True), self.shape)[:, 0] * neurons.unit
            bias = None if isinstance(self.layer, InputLayer) else self.layer.bias
            if bias is None:
                return mean
            lifted = torch.from_numpy(cast_bias(bias)) << STATE_SHIFT
            return mean + lifted.expand(self.shape[0]).repeat(mean.shape[1] // self.shape[0])

        return LayerView(
            number=self.number,
            first=0,
            voltage=voltage,
            spikes=_as_seen(steps.spikes, self.shape),
            theta=torch.full(voltage.shape[-1:], neurons.theta),
            kept=_as_seen(kept[..., None], self.shape)[:, 0],
            shape=self.shape,
            input=mean_input,
        )

    def _answer(self, what: str, values: Tensor, wanted: Tensor, like: Tensor) -> Tensor:
        """A hook's answer, checked, in SLAYER's order."""
        try:
            whole = values.detach().to(torch.float32).expand(wanted.shape)
        except RuntimeError:
            raise BadInput(
                f"backward mode: {what} of layer {self.number} has shape {tuple(values.shape)}, "
                f"does not broadcast to {tuple(wanted.shape)}"
            ) from None
        channels, height, width = self.shape
        split = whole.reshape(*whole.shape[:2], height, width, channels)
        return split.permute(0, 4, 2, 3, 1).reshape(like.shape)


def _as_seen(values: Tensor, shape: Shape) -> Tensor:
    """`[batch, ..., time]` -> `[batch, time, H * W * C]`."""
    split = values.reshape(len(values), *shape, values.shape[-1])
    return split.permute(0, 4, 2, 3, 1).flatten(2)


class _Fire(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, adjoint: Adjoint) -> tuple[Tensor, Tensor]:
        steps = adjoint.neurons.fire(inputs)
        ctx.save_for_backward(inputs, steps.spikes, steps.current, steps.voltage)
        ctx.adjoint = adjoint
        return steps.spikes, steps.membrane

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        inputs, *state = ctx.saved_tensors
        adjoint: Adjoint = ctx.adjoint
        return adjoint.back(inputs, Steps(*state), *grad_outputs), None
