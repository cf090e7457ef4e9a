"""A feed-forward `.net` laid out so that one more spike is a few rows of weights to add.

A layer's neurons stand in H, W, C order. A *block* is the neurons of one place: the C channels of a
convolution's pixel, or a whole dense layer, filled up to whole vectors with neurons that never
spike. Whatever a source neuron reaches, it reaches block by block, and what it adds to a block is
one row of weights. So a spike costs a few short vector additions, and the neurons of a block are
stepped side by side.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from neurorobust.backends.engine.layer import THETA_LIMIT
from neurorobust.backends.engine.lif_vector import WIDTH
from neurorobust.backends.engine.loops import Array
from neurorobust.backends.engine.synapses import FLOAT32_EXACT, unshifted
from neurorobust.fixedpoint import (
    DECAY_UNITY,
    STATE_LIMIT,
    STATE_SHIFT,
    cast_bias,
    pack_dense_weights,
)
from neurorobust.netx.model import (
    ACCUMULATOR,
    ConvLayer,
    DenseLayer,
    InputLayer,
    NetxModel,
    RecurrentLayer,
    Shape,
    SpikingLayer,
)

STEPS_MAX = 64  # a neuron's spikes are the bits of one 64-bit word


class Blocks(NamedTuple):
    """A network as flat arrays. A *source* is an input (in C, H, W order) or a neuron.

    Attributes:
        first_source: int64 `[layers + 1]`; the sources of layer l begin there (0: the inputs).
        first_block: int64 `[layers + 2]`; the blocks of layer l begin there (the inputs have none).
        width: int64 `[layers + 1]`; neurons of a block and entries of a row, whole `WIDTH`s.
        outputs: neurons of the last layer that are there.
        links: int64 `[sources + 1]`; source n has the links `links[n]` to `links[n + 1]`.
        block: int32 `[links]`; which block it reaches.
        row: int64 `[links]`; where its weights begin in `table`.
        late: int32 `[links]`; delay in steps.
        table: float32; weights, all whole.
        cells: `[4, neurons]`; what a step keeps of u and of v, times 4096, threshold and bias in
            v's unit; float32 where `lif_vector` is exact in it, else float64.
        scale: float32 `[layers + 1]`; 2^-shift of the sums.
        steps: time steps.
    """

    first_source: Array
    first_block: Array
    width: Array
    outputs: int
    links: Array
    block: Array
    row: Array
    late: Array
    table: Array
    cells: Array
    scale: Array
    steps: int


class _Links(NamedTuple):
    """One synapse: source, block (both from 0), row and delay of each link, and the rows."""

    source: Array
    block: Array
    row: Array
    late: Array
    rows: Array


def obstacle(model: NetxModel, steps: int) -> str:
    """Why a network cannot be followed so; empty: it can.

    Args:
        model: the network.
        steps: time steps of its inputs.
    """
    if steps > STEPS_MAX:
        return f"{steps} steps, more than {STEPS_MAX}"
    if model.output_layer.shape[1:] != (1, 1):
        return f"outputs of shape {model.output_layer.shape}, not one a class"
    for layer in _layers(model):
        if isinstance(layer, RecurrentLayer):
            return f"layer {layer.number} ({layer.kind}): its spikes come back to it"
        if isinstance(layer, DenseLayer) and layer.delay is not None and _packed(layer)[1]:
            return f"layer {layer.number} ({layer.kind}): every delay's sum is shifted on its own"
        most = _largest_sum(layer)
        if isinstance(layer, ConvLayer) and most >= STATE_LIMIT:
            return f"layer {layer.number} ({layer.kind}): a sum of up to {most} leaves 24 bits"
        if most >= FLOAT32_EXACT:
            return f"layer {layer.number} ({layer.kind}): a sum of up to {most} leaves float32"
        if (most << STATE_SHIFT) * steps + 3 * STATE_LIMIT >= 1 << 31:
            return f"layer {layer.number} ({layer.kind}): a sum of up to {most} may leave 32 bits"
    return ""


def build(model: NetxModel, steps: int) -> Blocks:
    """Lay a network out.

    Args:
        model: one without `obstacle`.
        steps: time steps of every input.
    """
    incoming = model.input_shape
    sizes, blocks, widths, cells, scales = [math.prod(incoming)], [0], [0], [], [1.0]
    parts: list[_Links] = []
    for number, layer in enumerate(_layers(model)):
        order = _source_order(incoming, number == 0)
        if isinstance(layer, ConvLayer):
            found, scale = _conv_links(layer, incoming, order), 1.0
        else:
            assert isinstance(layer, DenseLayer)
            found, scale = _dense_links(layer, order)
        shift_source, shift_block = sum(sizes[:-1]), sum(blocks)
        shift_row = sum(part.rows.size for part in parts)
        parts.append(
            found._replace(
                source=found.source + shift_source,
                block=found.block + shift_block,
                row=found.row * padded(layer.shape[0]) + shift_row,
                rows=_filled(found.rows, 0),
            )
        )
        blocks.append(layer.shape[1] * layer.shape[2])
        widths.append(padded(layer.shape[0]))
        sizes.append(blocks[-1] * widths[-1])
        scales.append(scale)
        cells.append(_cells(layer))
        incoming = layer.shape
    source, block, row, late = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("source", "block", "row", "late")
    )
    order = np.argsort(source, kind="stable")
    links = np.zeros(sum(sizes) + 1, np.int64)
    np.cumsum(np.bincount(source, minlength=sum(sizes)), out=links[1:])
    return Blocks(
        first_source=np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        first_block=np.concatenate(([0], np.cumsum(blocks))).astype(np.int64),
        width=np.array(widths, np.int64),
        outputs=model.outputs,
        links=links,
        block=block[order].astype(np.int32),
        row=row[order].astype(np.int64),
        late=late[order].astype(np.int32),
        table=np.concatenate([part.rows.ravel() for part in parts]).astype(np.float32),
        cells=np.concatenate(cells, axis=1).astype(_state_dtype(model)),
        scale=np.array(scales, np.float32),
        steps=steps,
    )


def _layers(model: NetxModel) -> list[SpikingLayer]:
    return [layer for layer in model.spiking_layers if not isinstance(layer, InputLayer)]


def _packed(layer: DenseLayer) -> tuple[Array, int]:
    """Weights, and by how much their sums are shifted (0 where the weights could be instead)."""
    return unshifted(pack_dense_weights(layer.weight))


def _largest_sum(layer: SpikingLayer) -> int:
    assert isinstance(layer, DenseLayer | ConvLayer), f"layer {layer.number} ({layer.kind})"
    weights = layer.weight if isinstance(layer, ConvLayer) else _packed(layer)[0]
    return int(np.abs(weights.reshape(len(weights), -1)).sum(1).max())


def padded(channels: int) -> int:
    """Neurons of a block with so many channels."""
    return -(-channels // WIDTH) * WIDTH


def _filled(rows: Array, value: float) -> Array:
    """`[..., channels]` with more of a value behind."""
    behind = padded(rows.shape[-1]) - rows.shape[-1]
    widths = [(0, 0)] * (rows.ndim - 1) + [(0, behind)]
    return np.pad(rows, widths, constant_values=value)


def _state_dtype(model: NetxModel) -> type:
    """As `LayerPlan.state_dtype`: float32 while 64 |a| stays within 24 bits."""
    most = max(_largest_sum(layer) for layer in _layers(model))
    return np.float32 if most <= STATE_LIMIT >> STATE_SHIFT else np.float64


def _source_order(shape: Shape, inputs: bool) -> Array:
    """Number of the source at each place `[C, H, W]`: inputs stand in C, H, W order, as x does."""
    if inputs:
        return np.arange(math.prod(shape)).reshape(shape)
    width = padded(shape[0])
    numbers = np.arange(shape[1] * shape[2] * width).reshape(shape[1], shape[2], width)
    return numbers[:, :, : shape[0]].transpose(2, 0, 1)


def _dense_links(layer: DenseLayer, order: Array) -> tuple[_Links, float]:
    weights, shift = _packed(layer)
    delays = np.zeros_like(weights) if layer.delay is None else layer.delay
    numbers = order.reshape(-1)
    sources, lates, rows = [], [], []
    for delay in np.unique(delays):
        part = np.where(delays == delay, weights, 0)
        used = np.flatnonzero(part.any(0))
        sources.append(numbers[used])
        lates.append(np.full(len(used), delay))
        rows.append(part[:, used].T)
    source = np.concatenate(sources)
    count = len(source)
    return _Links(
        source, np.zeros(count, np.int64), np.arange(count), np.concatenate(lates),
        np.concatenate(rows),
    ), 2.0**-shift  # fmt: skip


def _conv_links(layer: ConvLayer, incoming: Shape, order: Array) -> _Links:
    channels, inner, height, width = layer.weight.shape
    rows = np.zeros((height, width, incoming[0], channels), np.int64)
    per_group = channels // layer.groups
    for group in range(layer.groups):
        out = slice(group * per_group, (group + 1) * per_group)
        into = slice(group * inner, (group + 1) * inner)
        rows[:, :, into, out] = layer.weight[out].transpose(2, 3, 1, 0)
    y, x = np.meshgrid(np.arange(layer.shape[1]), np.arange(layer.shape[2]), indexing="ij")
    sources, blocks, numbers = [], [], []
    for row, column, channel in np.ndindex(height, width, incoming[0]):
        above = y * layer.stride[0] + row * layer.dilation[0] - layer.padding[0]
        left = x * layer.stride[1] + column * layer.dilation[1] - layer.padding[1]
        meets = (above >= 0) & (above < incoming[1]) & (left >= 0) & (left < incoming[2])
        sources.append(order[channel][above[meets], left[meets]])
        blocks.append((y * layer.shape[2] + x)[meets])
        place = (row * width + column) * incoming[0] + channel
        numbers.append(np.full(int(meets.sum()), place))
    source, block, number = (np.concatenate(part) for part in (sources, blocks, numbers))
    return _Links(source, block, number, np.zeros_like(source), rows.reshape(-1, channels))


def _cells(layer: SpikingLayer) -> Array:
    """Float64 `[4, neurons]` in H, W, C order, see `Blocks.cells`."""
    neuron = getattr(layer, "neuron", None) or ACCUMULATOR
    bias = getattr(layer, "bias", None)
    places = layer.shape[1] * layer.shape[2]

    def spread(values: object, filler: float = 0.0) -> Array:
        each = np.asarray(values, dtype=np.float64).reshape(-1)
        return np.tile(_filled(np.broadcast_to(each, (layer.shape[0],)), filler), places)

    lifted = np.zeros(1) if bias is None else cast_bias(bias).astype(np.float64)
    theta = spread(neuron.threshold, THETA_LIMIT) * (1 << STATE_SHIFT)
    return np.stack(
        [
            DECAY_UNITY - spread(neuron.current_decay),
            DECAY_UNITY - spread(neuron.voltage_decay),
            np.clip(theta, -THETA_LIMIT, THETA_LIMIT),
            spread(lifted) * (1 << STATE_SHIFT),
        ]
    )
