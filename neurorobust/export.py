"""SLAYER network -> NetxModel: the integers that lava-dl's own `export_hdf5` would write.

Source: lava-dl 0.6.0, `lib/dl/slayer/block/base.py` (`export_hdf5` of each block) and
`neuron/cuba.py` (`device_params`). lava-dl strips weight norm from the network it exports and
orphans the optimiser's parameters: here a copy is exported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn

from neurorobust.errors import BadInput, ModelFileError
from neurorobust.fixedpoint import (
    DECAY_UNITY,
    DELAY_MAX,
    THRESHOLD_MAX,
    WEIGHT_MAX,
    WEIGHT_MIN,
    pack_dense_weights,
    pack_recurrent_weights,
)
from neurorobust.networks import SlayerNetwork
from neurorobust.networks.blocks import SpikeInput
from neurorobust.networks.input import InputBlock
from neurorobust.netx.model import (
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    IntArray,
    Layer,
    NetxModel,
    Neuron,
    Pair,
    RecurrentLayer,
)


def export(network: SlayerNetwork) -> NetxModel:
    """What the chip will hold.

    Works on a copy: the network's weights, graph and optimiser are not touched.

    Args:
        network: trained or not; its blocks are ours for the input and lava-dl's CUBA Flatten,
            Dense, Recurrent and Conv, without normalisation, graded spikes or a time shift between
            blocks. Axonal delays of Dense blocks become whole steps, rounded down.

    Returns:
        A model without digest and path: `netx.write` gives it both.

    Raises:
        BadInput: a block, or something in it, that this version does not export; it is named.
        ModelFileError: a weight, decay or threshold that is not a number or out of range.

    Example:
        >>> from neurorobust.networks import NetworkSpec, build
        >>> spec = NetworkSpec(kind="mlp", input_shape=(1, 8, 8), classes=10, steps=16)
        >>> [layer.kind for layer in export(build(spec)).layers]  # doctest: +SKIP
        ['input', 'flatten', 'dense', 'dense']
    """
    twin = network.frozen_copy()
    layers = tuple(_layer(number, block) for number, block in enumerate(twin.blocks))
    return NetxModel(input_shape=network.spec.input_shape, layers=layers)


def _layer(number: int, block: nn.Module) -> Layer:
    makers: dict[str, Callable[[int, Any], Layer]] = {
        "InputBlock": _input,
        "SpikeInput": _declaration,
        "Flatten": _flatten,
        "Dense": _dense,
        "Recurrent": _recurrent,
        "Conv": _conv,
    }
    name = type(block).__name__
    ours = isinstance(block, InputBlock | SpikeInput)
    if name not in makers or not (ours or type(block).__module__.endswith("block.cuba")):
        known = "InputBlock, SpikeInput and lava-dl's cuba Flatten, Dense, Recurrent, Conv"
        raise BadInput(f"layer {number}: block {name} cannot be exported, known: {known}")
    return makers[name](number, block)


def _input(number: int, block: InputBlock) -> InputLayer:
    neuron = Neuron(
        current_decay=np.array([DECAY_UNITY]),  # nothing ever enters u
        voltage_decay=np.array([block.voltage_decay]),
        threshold=np.array([block.threshold]),
    )
    return InputLayer(number, block.shape, neuron, float(block.weight), float(block.bias))


def _declaration(number: int, block: SpikeInput) -> InputLayer:
    return InputLayer(number, block.shape, None)


def _flatten(number: int, block: Any) -> FlattenLayer:
    return FlattenLayer(number, (int(block.shape[0]), 1, 1))


def _dense(number: int, block: Any) -> DenseLayer:
    where = f"layer {number} (dense)"
    neuron = _neuron(where, block, ("delay",))
    matrix = _matrix(where, block.synapse)
    try:
        pack_dense_weights(matrix)
    except ModelFileError as error:
        raise ModelFileError(f"{where}: {error}") from error
    delay = _delay(where, block, matrix)
    return DenseLayer(number, (len(matrix), 1, 1), neuron, matrix, delay=delay)


def _recurrent(number: int, block: Any) -> RecurrentLayer:
    where = f"layer {number} (dense_rec)"
    neuron = _neuron(where, block, ("persistent_state",))  # whoever calls the block resets it
    if block.bias is not None:
        raise BadInput(f"{where}: bias cannot be exported, build the block without it")
    forward = _matrix(where, block.input_synapse)
    back = _matrix(where, block.recurrent_synapse, "weight_rec")
    try:
        pack_recurrent_weights(forward, back)
    except ModelFileError as error:
        raise ModelFileError(f"{where}: {error}") from error
    return RecurrentLayer(number, (len(forward), 1, 1), neuron, forward, back)


def _matrix(where: str, synapse: Any, name: str = "weight") -> IntArray:
    weight = _weight(where, synapse, name)
    if weight.shape[2:] != (1, 1, 1):
        raise BadInput(f"{where}: {name} {weight.shape} takes images, put a Flatten before it")
    return weight.reshape(weight.shape[:2])


def _delay(where: str, block: Any, weight: IntArray) -> IntArray | None:
    """Axonal delays as NetX has them: of everything that arrives at an output, `[out, in]`.

    Late sums give late u, v and spikes; without a bias that is the same as a late axon.
    """
    if block.delay is None:
        return None
    steps = block.delay.delay.detach().cpu().numpy()
    if not np.isfinite(steps).all():
        raise ModelFileError(f"{where}: delay {steps[~np.isfinite(steps)][0]} is not finite")
    wrong = steps[(steps < 0) | (steps >= DELAY_MAX + 1)]
    if wrong.size:
        raise ModelFileError(f"{where}: delay {wrong[0]:g} outside [0, {DELAY_MAX}]")
    if not np.any(steps >= 1):
        return None
    whole = np.floor(steps).astype(np.int64)
    return np.broadcast_to(whole.reshape(-1, 1), weight.shape).copy()


def _conv(number: int, block: Any) -> ConvLayer:
    where = f"layer {number} (conv)"
    neuron = _neuron(where, block)
    channels, height, width = (int(size) for size in block.neuron.shape)
    return ConvLayer(
        number,
        (channels, height, width),
        neuron,
        _weight(where, block.synapse)[..., 0],
        stride=_pair(block.synapse.stride),
        padding=_pair(block.synapse.padding),
        dilation=_pair(block.synapse.dilation),
        groups=int(block.synapse.groups),
    )


def _pair(sizes: tuple[int, ...]) -> Pair:
    return int(sizes[0]), int(sizes[1])


def _neuron(where: str, block: Any, allowed: tuple[str, ...] = ()) -> Neuron:
    neuron = block.neuron
    if neuron.norm is not None:
        raise BadInput(
            f"{where}: norm {type(neuron.norm).__name__} cannot be exported, train without it"
        )
    for name, present in (
        ("delay", block.delay is not None),
        ("delay_shift", block.delay_shift),
        ("dropout", neuron.drop is not None),
        ("graded_spike", neuron.graded_spike),
        ("persistent_state", neuron.persistent_state),
    ):
        if present and name not in allowed:
            raise BadInput(f"{where}: {name} cannot be exported, build the block without it")
    params = {}
    for name, limit in (
        ("iDecay", DECAY_UNITY),
        ("vDecay", DECAY_UNITY),
        ("vThMant", THRESHOLD_MAX),
    ):
        values = np.atleast_1d(np.asarray(neuron.device_params[name], dtype=np.int64))
        wrong = values[(values < 0) | (values > limit)]
        if wrong.size:
            raise ModelFileError(f"{where}: {name} {wrong[0]} outside [0, {limit}]")
        params[name] = values
    return Neuron(params["iDecay"], params["vDecay"], params["vThMant"])


def _weight(where: str, synapse: Any, name: str = "weight") -> IntArray:
    """Rounded and scaled by lava-dl's own hook: int64 `[out, in, kH, kW, 1]`."""
    if synapse.pre_hook_fx is None:
        raise BadInput(f"{where}: weights are not quantised (pre_hook_fx is None)")
    raw = synapse.weight.detach().cpu().numpy()
    if not np.isfinite(raw).all():
        raise ModelFileError(f"{where}: {name} {raw[~np.isfinite(raw)][0]} is not finite")
    scaled = synapse.pre_hook_fx(synapse.weight, descale=True).detach().cpu().numpy()
    wrong = scaled[(scaled < WEIGHT_MIN) | (scaled > WEIGHT_MAX) | (scaled != np.trunc(scaled))]
    if wrong.size:
        raise ModelFileError(
            f"{where}: {name} {wrong[0]:g} is no integer in [{WEIGHT_MIN}, {WEIGHT_MAX}]"
        )
    weight: IntArray = scaled.astype(np.int64)
    return weight
