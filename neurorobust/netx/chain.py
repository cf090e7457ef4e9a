"""How the layers of a file must follow each other, so that connections and sizes fit."""

from __future__ import annotations

import math
from typing import NoReturn

from typing_extensions import assert_never

from neurorobust.errors import ModelFileError
from neurorobust.netx.model import (
    AverageLayer,
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    Layer,
    RecurrentLayer,
    Shape,
    SynapseLayer,
)
from neurorobust.netx.numbers import check_numbers
from neurorobust.netx.rules import LAYERS, SHAPES


def check_chain(layers: tuple[Layer, ...], name: str) -> Shape:
    """Walk the layers in order.

    Args:
        layers: all layers of the file.
        name: what messages call the file.

    Returns:
        The shape (C, H, W) of what the network is fed.

    Raises:
        ModelFileError: naming the first layer that does not fit the one before it, or whose
            numbers Lava would change.
    """
    shape: Shape | None = None
    for layer in layers:
        check_numbers(layer, f"{name}: ")
        previous = layers[layer.number - 1] if layer.number else None
        if isinstance(previous, AverageLayer):
            _fail(name, layer, "follows an average layer, which must be the last")
        if isinstance(layer, InputLayer) and previous is not None:
            _fail(name, layer, "an input layer must be the first")
        if isinstance(layer, ConvLayer):
            _check_conv(name, layer, shape, previous)
        elif isinstance(layer, DenseLayer | RecurrentLayer):
            _check_dense(name, layer, shape)
        elif isinstance(layer, InputLayer | FlattenLayer | AverageLayer):
            _check_size(name, layer, shape)
        else:
            assert_never(layer)
        shape = layer.shape
    if not any(
        isinstance(layer, SynapseLayer) or getattr(layer, "neuron", None) for layer in layers
    ):
        raise ModelFileError(f"{name}: none of its {len(layers)} layers holds neurons", LAYERS)
    first = layers[0]
    if isinstance(first, DenseLayer | RecurrentLayer):
        return first.weight.shape[1], 1, 1
    return first.shape


def conv_output(layer: ConvLayer, height: int, width: int) -> tuple[int, int]:
    """`floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1` along H and W."""
    rows, columns = (
        (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        for size, kernel, stride, padding, dilation in zip(
            (height, width),
            layer.weight.shape[2:],
            layer.stride,
            layer.padding,
            layer.dilation,
            strict=True,
        )
    )
    return rows, columns


def _check_conv(name: str, layer: ConvLayer, shape: Shape | None, previous: Layer | None) -> None:
    if shape is None:
        _fail(name, layer, "the input shape is unknown: no input layer before the first conv layer")
    if isinstance(previous, FlattenLayer | DenseLayer | RecurrentLayer):
        _fail(name, layer, f"follows a {previous.kind} layer, which has no height and width")
    outputs, inputs = layer.weight.shape[:2]
    if inputs * layer.groups != shape[0]:
        _fail(
            name,
            layer,
            f"weight takes {inputs} channels in each of {layer.groups} groups, "
            f"the layer before has {shape[0]}",
        )
    if outputs % layer.groups:
        _fail(name, layer, f"{outputs} channels do not divide into {layer.groups} groups")
    made = (outputs, *conv_output(layer, shape[1], shape[2]))
    if made != layer.shape:
        _fail(name, layer, f"shape {layer.shape}, but the convolution gives {made}")


def _check_dense(name: str, layer: DenseLayer | RecurrentLayer, shape: Shape | None) -> None:
    if shape is None:
        return
    if shape[1:] != (1, 1):
        _fail(name, layer, f"follows shape {shape}, Lava needs a flatten layer between")
    if layer.weight.shape[1] != shape[0]:
        _fail(
            name,
            layer,
            f"weight takes {layer.weight.shape[1]} inputs, the layer before gives {shape[0]}",
        )


def _check_size(name: str, layer: Layer, shape: Shape | None) -> None:
    if shape is None:
        return
    before, here = math.prod(shape), math.prod(layer.shape)
    if before % here if isinstance(layer, AverageLayer) else before != here:
        _fail(name, layer, f"shape {layer.shape} does not fit the {before} neurons before it")


def _fail(name: str, layer: Layer, problem: str) -> NoReturn:
    raise ModelFileError(f"{name}: layer {layer.number} ({layer.kind}): {problem}", SHAPES)
