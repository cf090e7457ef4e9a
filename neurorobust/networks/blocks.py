"""The layers between the input and the classes, made from lava-dl's blocks."""

from __future__ import annotations

import math
import warnings
from typing import Any

from torch import Tensor, nn

from neurorobust.networks.input import InputBlock
from neurorobust.networks.lava_dl import import_slayer
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
    if spec.encoder != "drive":
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
    """input, flatten, one dense block a hidden size, one for the classes."""
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
    for size in (*spec.hidden, spec.classes):
        blocks.append(
            _quiet(
                cuba.Dense,
                _neuron(spec),
                features,
                size,
                weight_scale=spec.weight_scale,
                weight_norm=spec.weight_norm,
                delay_shift=False,
            )
        )
        features = size
    return blocks


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
    with warnings.catch_warnings():  # lava-dl uses the older of torch's two weight norms
        warnings.filterwarnings("ignore", message=".*weight_norm.*deprecated.*")
        made: nn.Module = block(*args, **kwargs)
        return made
