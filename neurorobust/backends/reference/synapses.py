"""The reference's synapses: from one layer's spikes to the next layer's activation, plainly."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from neurorobust.backends.base import neurons
from neurorobust.errors import ModelFileError
from neurorobust.fixedpoint import (
    CONV_PARAMETER_MAX,
    PackedWeights,
    pack_dense_weights,
    pack_recurrent_weights,
    wrap_signed_24,
)
from neurorobust.netx.model import (
    ConvLayer,
    DenseLayer,
    IntArray,
    RecurrentLayer,
    Shape,
    SynapseLayer,
)

# spikes [C, H, W, time] -> activation [C, H, W, time]
Synapse: TypeAlias = Callable[[IntArray], IntArray]
# a layer's own spikes of one step [C, H, W] -> what they add to its activation of the next
Feedback: TypeAlias = Callable[[IntArray], IntArray]


def dense_synapse(layer: DenseLayer, incoming: Shape) -> Synapse:
    """Packed weights; each delay's sum is shifted on its own, as Lava's DelayDense does."""
    _check_dense(layer, incoming)
    try:
        packed = pack_dense_weights(layer.weight)
    except ModelFileError as error:
        raise ModelFileError(f"layer {layer.number} (dense): {error}") from None
    delays = np.zeros_like(layer.weight) if layer.delay is None else layer.delay
    buckets = [
        (int(delay), np.where(delays == delay, packed.weights, 0)) for delay in np.unique(delays)
    ]

    def activate(spikes: IntArray) -> IntArray:
        activation = np.zeros((*layer.shape, spikes.shape[-1]), dtype=np.int64)
        for step in range(spikes.shape[-1]):
            for delay, weights in buckets:
                if delay <= step:
                    total = weights @ spikes[:, 0, 0, step - delay]
                    activation[:, 0, 0, step] += total >> packed.shift
        return activation

    return activate


def recurrent_synapses(layer: RecurrentLayer, incoming: Shape) -> tuple[Synapse, Feedback]:
    """The two matrices of a recurrent layer; each one's sum is shifted on its own."""
    _check_dense(layer, incoming)
    features = neurons(layer.shape)
    if layer.weight_rec.shape != (features, features):
        raise ModelFileError(
            f"layer {layer.number} (dense_rec): weight_rec {layer.weight_rec.shape},"
            f" should be {(features, features)}"
        )
    try:
        forward, back = pack_recurrent_weights(layer.weight, layer.weight_rec)
    except ModelFileError as error:
        raise ModelFileError(f"layer {layer.number} (dense_rec): {error}") from None

    def activate(spikes: IntArray) -> IntArray:
        frames = [_dense_sum(forward, frame) for frame in np.moveaxis(spikes, -1, 0)]
        return np.stack(frames, axis=-1).reshape(*layer.shape, -1)

    def feed_back(spikes: IntArray) -> IntArray:
        return _dense_sum(back, spikes).reshape(layer.shape)

    return activate, feed_back


def _dense_sum(packed: PackedWeights, spikes: IntArray) -> IntArray:
    total: IntArray = (packed.weights @ spikes.reshape(-1).astype(np.int64)) >> packed.shift
    return total


def _check_dense(layer: DenseLayer | RecurrentLayer, incoming: Shape) -> None:
    if layer.weight.shape != (neurons(layer.shape), neurons(incoming)):
        raise _misfit(layer, f"weight {layer.weight.shape}", incoming)
    if incoming[1:] != (1, 1):
        raise _misfit(layer, "without a flatten layer before it", incoming)


def conv_synapse(layer: ConvLayer, incoming: Shape) -> Synapse:
    """Cross-correlation with the stored kernel, position by position; sums wrap to 24 bits."""
    channels_out, per_group, *kernel = layer.weight.shape
    numbers = (*layer.stride, *layer.padding, *layer.dilation, *kernel, layer.groups)
    if max(numbers) > CONV_PARAMETER_MAX:
        raise ModelFileError(
            f"layer {layer.number} (conv): stride, padding, dilation, kernel or groups"
            f" {max(numbers)} above {CONV_PARAMETER_MAX} (int8 in Lava)"
        )
    if channels_out % layer.groups or per_group * layer.groups != incoming[0]:
        raise _misfit(layer, f"weight {layer.weight.shape}, groups {layer.groups}", incoming)
    expected = (channels_out, *(_conv_length(layer, incoming, axis) for axis in (0, 1)))
    if layer.shape != expected:
        raise _misfit(layer, f"shape {layer.shape}, should be {expected}", incoming)
    outputs = channels_out // layer.groups

    def correlate(frame: IntArray) -> IntArray:
        padded = np.pad(frame, ((0, 0), *((pad, pad) for pad in layer.padding)))
        total = np.zeros(layer.shape, dtype=np.int64)
        for group in range(layer.groups):
            of = slice(group * outputs, (group + 1) * outputs)
            source = padded[group * per_group : (group + 1) * per_group]
            for row in range(kernel[0]):
                for column in range(kernel[1]):
                    seen = source[_window(layer, row, column)]
                    total[of] += np.tensordot(layer.weight[of, :, row, column], seen, axes=1)
        return wrap_signed_24(total)

    def activate(spikes: IntArray) -> IntArray:
        frames = [correlate(spikes[..., step]) for step in range(spikes.shape[-1])]
        return np.stack(frames, axis=-1)

    return activate


def _window(layer: ConvLayer, row: int, column: int) -> tuple[slice, slice, slice]:
    """The padded inputs that kernel position (row, column) meets, one for each output position."""
    spans = []
    for axis, position in enumerate((row, column)):
        start = position * layer.dilation[axis]
        last = start + (layer.shape[1 + axis] - 1) * layer.stride[axis]
        spans.append(slice(start, last + 1, layer.stride[axis]))
    return slice(None), spans[0], spans[1]


def _conv_length(layer: ConvLayer, incoming: Shape, axis: int) -> int:
    """Output length along H (axis 0) or W (axis 1)."""
    reach = layer.dilation[axis] * (layer.weight.shape[2 + axis] - 1) + 1
    free = incoming[1 + axis] + 2 * layer.padding[axis] - reach
    return free // layer.stride[axis] + 1


def _misfit(layer: SynapseLayer, what: str, incoming: Shape) -> ModelFileError:
    return ModelFileError(
        f"layer {layer.number} ({layer.kind}): {what} does not fit its input {incoming} (C, H, W)"
    )
