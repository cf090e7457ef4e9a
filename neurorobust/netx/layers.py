"""One reader a layer type: from a group of the file to a frozen layer.

Source: lava-dl 0.6.0, `lib/dl/netx/hdf5.py` (what NetX makes of each field) and
`lib/dl/slayer/block/base.py` (what `export_hdf5` writes).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from neurorobust.errors import ModelFileError
from neurorobust.fixedpoint import DELAY_MAX, pack_dense_weights, pack_recurrent_weights
from neurorobust.netx.fields import (
    INT8_MAX,
    INT32_MAX,
    INT32_MIN,
    extents,
    finite,
    integers,
    known,
    neutral,
    number,
    pair,
    volume,
    weights,
    whole,
)
from neurorobust.netx.hdf5 import Group
from neurorobust.netx.image import quoted
from neurorobust.netx.model import (
    AverageLayer,
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    IntArray,
    Layer,
    RecurrentLayer,
)
from neurorobust.netx.neurons import read_neuron
from neurorobust.netx.rules import (
    COMPLEX,
    CONV_DELAY,
    FORMAT,
    LAYER_TYPE,
    RANGE,
    RECURRENT_DELAY,
    SHAPES,
)

INPUT_FIELDS = frozenset({"type", "shape", "neuron", "weight", "bias"})
SHAPE_FIELDS = frozenset({"type", "shape"})
DENSE_IGNORED = frozenset({"inFeatures", "outFeatures"})
DENSE_FIELDS = DENSE_IGNORED | {"type", "shape", "neuron", "weight", "bias", "delay"}
RECURRENT_FIELDS = DENSE_FIELDS | {"weight_rec"}
CONV_IGNORED = frozenset({"inChannels", "outChannels", "kernelSize"})
CONV_PAIRS = frozenset({"stride", "padding", "dilation"})
CONV_FIELDS = CONV_IGNORED | CONV_PAIRS | DENSE_FIELDS - DENSE_IGNORED | {"groups"}
INSTEAD = {
    "pool": "use a strided conv, grouped and with constant weights",
    "unpool": "NetX cannot load it",
    "convT": "NetX cannot load it",
    "concat": "NetX cannot load it",
    "dense_comp": "complex layers are not computed here",
    "kwta": "export it as its dense layer",
}


def read_layer(group: Group, number: int) -> Layer:
    """One layer of the file.

    Raises:
        ModelFileError: an unknown type, a missing or unknown field, a value out of range.
    """
    if not group.names():
        group.fail(
            "holds nothing (lava-dl exports KWTA and other blocks it cannot describe so)",
            LAYER_TYPE,
        )
    kind = group.text("type")
    if kind not in READERS:
        hint = f": {INSTEAD[kind]}" if kind in INSTEAD else ""
        group.fail(f"type {quoted(kind)} unknown, known: {', '.join(READERS)}{hint}", LAYER_TYPE)
    return READERS[kind](group.named(f"{group.where} ({kind})"), number)


def _input(group: Group, index: int) -> InputLayer:
    known(group, INPUT_FIELDS)
    shape = volume(extents(group))
    present = group.names()
    return InputLayer(
        number=index,
        shape=shape,
        neuron=read_neuron(group, shape[0]),
        weight=number(group, "weight") if "weight" in present else 64.0,
        bias=number(group, "bias") if "bias" in present else 0.0,
    )


def _dense(group: Group, index: int) -> DenseLayer:
    _refuse_complex(group)
    known(group, DENSE_FIELDS)
    _check_ignored(group, DENSE_IGNORED)
    features = math.prod(extents(group))
    weight = weights(group)
    if weight.ndim == 1 and weight.size % features == 0:
        weight = weight.reshape(features, -1)
    if weight.ndim != 2 or weight.shape[0] != features:
        group.fail(f"weight has shape {weight.shape}, needs ({features}, inputs)", SHAPES)
    try:
        pack_dense_weights(weight)
    except ModelFileError as error:
        group.fail(str(error), error.rule)
    return DenseLayer(
        number=index,
        shape=(features, 1, 1),
        neuron=read_neuron(group, features),
        weight=weight,
        bias=_bias(group, features, shared=True),
        delay=_delay(group, weight.shape),
    )


def _recurrent(group: Group, index: int) -> RecurrentLayer:
    _refuse_complex(group)
    known(group, RECURRENT_FIELDS)
    _check_ignored(group, DENSE_IGNORED)
    if "delay" in group.names():
        group.fail(
            "delay: NetX loses the weights' exponent of delayed recurrent layers", RECURRENT_DELAY
        )
    features = math.prod(extents(group))
    weight, recurrent = weights(group), weights(group, "weight_rec")
    if weight.ndim == 1 and weight.size % features == 0 and recurrent.size == features**2:
        weight, recurrent = weight.reshape(features, -1), recurrent.reshape(features, -1)
    if weight.ndim != 2 or weight.shape[0] != features:
        group.fail(f"weight has shape {weight.shape}, needs ({features}, inputs)", SHAPES)
    if recurrent.shape != (features, features):
        group.fail(f"weight_rec has shape {recurrent.shape}, needs {(features, features)}", SHAPES)
    try:
        pack_recurrent_weights(weight, recurrent)
    except ModelFileError as error:
        group.fail(str(error), error.rule)
    return RecurrentLayer(
        number=index,
        shape=(features, 1, 1),
        neuron=read_neuron(group, features),
        weight=weight,
        weight_rec=recurrent,
        bias=_bias(group, features, shared=True),
    )


def _conv(group: Group, index: int) -> ConvLayer:
    _refuse_complex(group)
    known(group, CONV_FIELDS)
    _check_ignored(group, CONV_IGNORED)
    entries = extents(group)
    if len(entries) != 3:
        group.fail(f"shape {entries} needs 3 entries (C, H, W)", SHAPES)
    shape = volume(entries)
    weight = weights(group)
    if weight.ndim == 5 and weight.shape[4] == 1:
        weight = weight[..., 0]
    if weight.ndim != 4:
        group.fail(f"weight has shape {weight.shape}, needs (out, in / groups, kH, kW)", SHAPES)
    if max(weight.shape[2:]) > INT8_MAX:
        group.fail(f"weight has a kernel {weight.shape[2:]}, Lava holds at most {INT8_MAX}", RANGE)
    if "delay" in group.names():
        neutral(group, "delay", "NetX drops the delays of conv layers in silence", CONV_DELAY)
    neuron = read_neuron(group, shape[0])
    if neuron is None:
        group.fail("neuron missing", FORMAT)
    return ConvLayer(
        number=index,
        shape=shape,
        neuron=neuron,
        weight=weight,
        bias=_bias(group, shape[0], shared=False),
        stride=pair(group, "stride", 1),
        padding=pair(group, "padding", 0),
        dilation=pair(group, "dilation", 1),
        groups=whole(group, "groups", 1, INT8_MAX),
    )


def _flatten(group: Group, index: int) -> FlattenLayer:
    known(group, SHAPE_FIELDS)
    return FlattenLayer(index, (math.prod(extents(group)), 1, 1))


def _average(group: Group, index: int) -> AverageLayer:
    known(group, SHAPE_FIELDS)
    return AverageLayer(index, volume(extents(group)))


READERS: dict[str, Callable[[Group, int], Layer]] = {
    "input": _input,
    "dense": _dense,
    "dense_rec": _recurrent,
    "conv": _conv,
    "flatten": _flatten,
    "average": _average,
}


def _refuse_complex(group: Group) -> None:
    if "weight" in group.names() and group.is_group("weight"):
        group.fail("weight/real, weight/imag: complex synapses are not computed here", COMPLEX)


def _check_ignored(group: Group, names: frozenset[str]) -> None:
    for name in sorted(names.intersection(group.names())):
        finite(group, name)


def _bias(group: Group, outputs: int, shared: bool) -> IntArray | None:
    """int64 `[out]`; `shared` allows a single entry for all, as Lava does for dense layers."""
    if "bias" not in group.names():
        return None
    bias = integers(group, "bias", INT32_MIN, INT32_MAX)
    if bias.ndim > 1 or not (bias.size == outputs or (shared and bias.size == 1)):
        group.fail(f"bias has shape {bias.shape}, needs {outputs} entries (one an output)", SHAPES)
    return np.broadcast_to(bias.reshape(-1), (outputs,)).copy()


def _delay(group: Group, shape: tuple[int, ...]) -> IntArray | None:
    """int64 `[out, in]`, floored and clamped to 62 as NetX does; None where every delay is 0."""
    if "delay" not in group.names():
        return None
    values = finite(group, "delay")
    if (values < 0).any():
        group.fail(f"delay {values.min():g} below 0", RANGE)
    delay = np.minimum(np.floor(values), DELAY_MAX).astype(np.int64)
    outputs, inputs = shape
    if delay.ndim == 1 and delay.size == outputs:
        delay = delay[:, None]
    elif delay.ndim == 1 and delay.size == inputs:
        delay = delay[None, :]
    elif delay.ndim != 0 and delay.shape != shape:
        group.fail(
            f"delay has shape {delay.shape}, needs ({outputs},), ({inputs},) or {shape}", SHAPES
        )
    return np.broadcast_to(delay, shape).copy() if delay.any() else None
