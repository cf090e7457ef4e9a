"""A `.net` as flat arrays for `delta_loops`: one list of neurons, one list of synapses.

Neurons are numbered through all layers, in C, H, W order; the first are the inputs of the first
synapse (with an on-chip input layer: its neurons). Written from docs/semantics.md, and not from the
engine, whose answers it is held to.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from neurorobust.errors import BadInput
from neurorobust.fixedpoint import cast_bias, pack_dense_weights
from neurorobust.netx.model import (
    ACCUMULATOR,
    ConvLayer,
    DenseLayer,
    InputLayer,
    NetxModel,
    RecurrentLayer,
)

Array = npt.NDArray[Any]
NEAR, ENDS = 1, 2
STEPS_MAX = 64  # a neuron's spikes are the bits of one 64-bit word


class Net(NamedTuple):
    """What `delta_loops` reads.

    Attributes:
        edges: int64 `[layers + 1]`; layer k holds the neurons `edges[k]` to `edges[k + 1]`.
        start: int64 `[neurons + 1]`; neuron n reaches the synapses `start[n]` to `start[n + 1]`.
        target, weight, late: int32 `[synapses]`.
        keep: int64 `[neurons, 2]`; 4096 - decay, of u and v.
        theta, bias: int64 `[neurons]`; in v's units.
        steps: time steps.
        by_count: 0 where the membrane is read; where spikes are counted `NEAR` or `ENDS`, what a
            count is made finer by: how near each step came to a spike, or the last v.
        scale: by which a membrane is divided to be of the size of a spike count.
    """

    edges: Array
    start: Array
    target: Array
    weight: Array
    late: Array
    keep: Array
    theta: Array
    bias: Array
    steps: int
    by_count: int
    scale: float


def finer(net: Net, number: int) -> Net:
    """The network with the one or the other energy, in turn: each is misled elsewhere."""
    if not net.by_count or (number + number // 4) % 2 == 0:
        return net
    return net._replace(by_count=ENDS)


def build(model: NetxModel, steps: int, readout: str) -> Net:
    """The arrays of a network.

    Args:
        model: feed-forward.
        steps: time steps of every input.
        readout: `count` or `membrane`.

    Raises:
        BadInput: more steps than 64, recurrent layers, sums that wrap or weights that lose bits.
    """
    if steps > STEPS_MAX:
        raise BadInput(f"steps {steps}: the search takes at most {STEPS_MAX}")
    layers = [layer for layer in model.spiking_layers if not isinstance(layer, InputLayer)]
    shape = model.input_shape
    sizes, synapses, cells = [math.prod(shape)], [], [_cells(math.prod(shape), None, None, 1)]
    for layer in layers:
        if isinstance(layer, RecurrentLayer):
            raise BadInput(f"layer {layer.number} (dense_rec): the search takes no recurrent layer")
        above = sum(sizes[:-1])
        lists = _conv(layer, shape) if isinstance(layer, ConvLayer) else _dense(layer)
        source, target, weight, late = lists
        synapses.append((source + above, target + sum(sizes), weight, late))
        count = math.prod(layer.shape)
        _check_sums(layer.number, target, weight, count, steps)
        sizes.append(count)
        cells.append(_cells(count, layer.neuron or ACCUMULATOR, layer.bias, layer.shape[0]))
        shape = layer.shape
    source, target, weight, late = (np.concatenate(part) for part in zip(*synapses, strict=True))
    order = np.argsort(source, kind="stable")
    start = np.zeros(sum(sizes) + 1, dtype=np.int64)
    np.cumsum(np.bincount(source, minlength=sum(sizes)), out=start[1:])
    keep, theta, bias = (np.concatenate(part) for part in zip(*cells, strict=True))
    edges = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    ordered = (part[order].astype(np.int32) for part in (target, weight, late))
    scale = float((127 << 6) * steps) / 8
    return Net(
        edges, start, *ordered, keep, theta, bias, steps, NEAR if readout == "count" else 0, scale
    )


def _dense(layer: DenseLayer) -> tuple[Array, Array, Array, Array]:
    packed = pack_dense_weights(layer.weight)
    if np.any(packed.weights & ((1 << packed.shift) - 1)):
        raise BadInput(f"layer {layer.number} (dense): weights lose bits, the search takes none")
    weight = packed.weights >> packed.shift
    target, source = np.nonzero(weight)
    late = np.zeros_like(weight) if layer.delay is None else layer.delay
    return source, target, weight[target, source], late[target, source]


def _conv(layer: ConvLayer, incoming: tuple[int, int, int]) -> tuple[Array, Array, Array, Array]:
    outputs, per_group, height, width = layer.weight.shape
    rows, columns = np.meshgrid(np.arange(layer.shape[1]), np.arange(layer.shape[2]), indexing="ij")
    lists: list[tuple[Array, Array, Array]] = []
    for out, within, row, column in np.ndindex(outputs, per_group, height, width):
        weight = int(layer.weight[out, within, row, column])
        channel = out // (outputs // layer.groups) * per_group + within
        y = rows * layer.stride[0] + row * layer.dilation[0] - layer.padding[0]
        x = columns * layer.stride[1] + column * layer.dilation[1] - layer.padding[1]
        meets = (y >= 0) & (y < incoming[1]) & (x >= 0) & (x < incoming[2])
        source = (channel * incoming[1] + y[meets]) * incoming[2] + x[meets]
        target = (out * layer.shape[1] + rows[meets]) * layer.shape[2] + columns[meets]
        lists.append((source, target, np.full(len(source), weight)))
    source, target, weights = (np.concatenate(part) for part in zip(*lists, strict=True))
    return source, target, weights, np.zeros_like(source)


def _cells(count: int, neuron: Any, bias: Array | None, channels: int) -> tuple[Array, ...]:
    """Keep, theta and bias of one layer: one number for the layer, or one a channel."""
    if neuron is None:
        return np.zeros((count, 2), np.int64), np.zeros(count, np.int64), np.zeros(count, np.int64)
    repeats = count // channels

    def spread(values: Array) -> Array:
        each = np.broadcast_to(np.asarray(values, dtype=np.int64).reshape(-1), (channels,))
        return np.repeat(each, repeats)

    keep = np.stack([4096 - spread(neuron.current_decay), 4096 - spread(neuron.voltage_decay)], 1)
    lifted = np.zeros(count, np.int64) if bias is None else spread(cast_bias(bias)) << 6
    return keep, spread(neuron.threshold) << 6, lifted


def _check_sums(number: int, target: Array, weight: Array, count: int, steps: int) -> None:
    """Refuse sums that could leave 32 bits in u, or 24 in a convolution, whatever the input."""
    most = int(np.bincount(target, np.abs(weight), minlength=count).max()) if len(target) else 0
    if most << 6 >= 1 << 26 or steps * (most << 6) >= 1 << 31:
        raise BadInput(f"layer {number}: sums up to {most} could wrap in 32 bits; not searched")
