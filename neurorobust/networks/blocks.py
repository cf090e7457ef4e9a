"""The layers between the input and the classes, made from lava-dl's blocks."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from neurorobust.encoders import ENCODERS
from neurorobust.networks.input import InputBlock
from neurorobust.networks.lava_dl import import_slayer, older_weight_norm
from neurorobust.networks.spec import NetworkSpec


class SpikeInput(nn.Module):
    """Declares the shape of the spikes that the first synapse is given; computes nothing."""

    kind = "input"

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, spikes: Tensor) -> Tensor:
        """The same spikes."""
        return spikes


def input_block(spec: NetworkSpec) -> nn.Module:
    """Our own exact on-chip layer for drive, a mere declaration for spikes."""
    if ENCODERS[spec.encoder].input_layer is not True:
        return SpikeInput(spec.input_shape)
    return InputBlock(
        spec.input_shape,
        spec.input_threshold,
        spec.input_voltage_decay,
        spec.input_weight,
        spec.input_bias,
        spec.tau_grad,
        spec.scale_grad,
    )


def mlp(spec: NetworkSpec) -> list[nn.Module]:
    """input, flatten, one dense (or recurrent) block a hidden size, a dense one for the classes."""
    return [input_block(spec), *_head(spec, math.prod(spec.input_shape))]


def cnn(spec: NetworkSpec) -> list[nn.Module]:
    """input, one convolution a channel count, then as `mlp`.

    Convolutions stride instead of pooling: NetX loads no pooling layer.
    """
    cuba = import_slayer().block.cuba
    blocks = [input_block(spec)]
    features = spec.input_shape[0]
    for channels in spec.channels:
        blocks.append(
            _quiet(
                cuba.Conv,
                _neuron(spec),
                features,
                channels,
                spec.kernel,
                stride=spec.stride,
                padding=spec.padding,
                weight_scale=spec.weight_scale,
                weight_norm=spec.weight_norm,
                delay_shift=False,
            )
        )
        features = channels
    return blocks + _head(spec, math.prod(spec.conv_shapes[-1]))


def _head(spec: NetworkSpec, features: int) -> list[nn.Module]:
    cuba = import_slayer().block.cuba
    blocks: list[nn.Module] = [cuba.Flatten()]
    for index, size in enumerate((*spec.hidden, spec.classes)):
        hidden = index < len(spec.hidden)
        made = _quiet(
            cuba.Recurrent if hidden and spec.kind == "recurrent" else cuba.Dense,
            _neuron(spec),
            features,
            size,
            weight_scale=spec.weight_scale,
            weight_norm=spec.weight_norm,
            delay=hidden and spec.max_delay > 0,
            delay_shift=False,
        )
        if made.delay is not None:
            _draw_delays(made.delay, size, spec.max_delay)
        blocks.append(made)
        features = size
    return blocks


def is_recurrent(block: nn.Module) -> bool:
    """Whether it is lava-dl's recurrent block."""
    return hasattr(block, "recurrent_synapse")


def call(block: Any, x: Tensor) -> Tensor:
    """The block's answer from zero state: lava-dl's recurrent blocks keep theirs over calls."""
    if not is_recurrent(block):
        plain: Tensor = block(x)
        return plain
    forget(block)
    answer: Tensor = block(x)
    forget(block)  # what is kept has the batch's shape, which no checkpoint could load
    return answer


def forget(block: Any) -> None:
    """Zero the state that a recurrent block carries from call to call."""
    for holder, names in (
        (block, ("spike_state",)),
        (block.neuron, ("current_state", "voltage_state")),
    ):
        for name in names:
            setattr(holder, name, torch.zeros(1, device=getattr(holder, name).device))


def _draw_delays(axon: Any, size: int, max_delay: int) -> None:
    """Uniform initial delays; lava-dl would begin with less than one step, and clamp at 62."""
    axon.max_delay = max_delay
    axon.delay.data = max_delay * torch.rand(size)
    axon.init = True


def _neuron(spec: NetworkSpec) -> dict[str, Any]:
    """lava-dl's neuron parameters; a fresh dictionary, its blocks keep what they are given."""
    return {
        "threshold": spec.threshold,
        "current_decay": spec.current_decay,
        "voltage_decay": spec.voltage_decay,
        "tau_grad": spec.tau_grad,
        "scale_grad": spec.scale_grad,
        "requires_grad": False,
    }


def _quiet(block: Any, *args: Any, **kwargs: Any) -> nn.Module:
    with older_weight_norm():
        made: nn.Module = block(*args, **kwargs)
        return made
