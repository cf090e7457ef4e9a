"""Write a `NetxModel` as a NetX HDF5 file that Lava loads and `read` reads back equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from typing_extensions import assert_never

from neurorobust.errors import ModelFileError
from neurorobust.netx.compare import difference
from neurorobust.netx.hdf5 import unique_name
from neurorobust.netx.model import (
    AverageLayer,
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    Layer,
    NetxModel,
    Neuron,
    RecurrentLayer,
    SynapseLayer,
)
from neurorobust.netx.read import parse
from neurorobust.support.files import atomic


def write(model: NetxModel, path: str | Path) -> NetxModel:
    """Write `model`, replacing the file in one step once it is known to read back equal.

    The same model gives the same bytes (with the same HDF5 library).

    Args:
        model: what to write; its digest and path are not used.
        path: the file to create or replace; missing folders are made.

    Returns:
        The model as read back, with the new file's sha256 and path.

    Raises:
        ModelFileError: the model holds what `read` refuses or would change; nothing was written.
        OutputError: the path cannot be written.
    """
    image = serialise(model)
    written = parse(image, str(path))
    changed = difference(model, written)
    if changed is not None:
        raise ModelFileError(f"{path}: would not read back equal: {changed}")
    with atomic(Path(path)) as temporary:
        temporary.write_bytes(image)
    return written


def serialise(model: NetxModel) -> bytes:
    """The bytes of the `.net` file."""
    with h5py.File(unique_name(), "w", driver="core", backing_store=False) as file:
        layers = file.create_group("layer")
        for index, layer in enumerate(model.layers):
            following = model.layers[index + 1] if index + 1 < len(model.layers) else None
            _put_layer(layers.create_group(str(index)), layer, following)
        file.flush()
        return bytes(file.id.get_file_image())


def _put_layer(group: Any, layer: Layer, following: Layer | None) -> None:
    kind = np.array([layer.kind.encode("ascii")], dtype="S10")
    group.create_dataset("type", data=kind, track_times=False)
    dense = DenseLayer | RecurrentLayer
    flat = isinstance(layer, dense) or (
        isinstance(layer, InputLayer) and isinstance(following, dense)
    )
    shape = layer.shape[:1] if flat and layer.shape[1:] == (1, 1) else layer.shape
    _put(group, "shape", np.asarray(shape, dtype=np.int64))
    if isinstance(layer, InputLayer):
        _put_input(group, layer)
    elif isinstance(layer, DenseLayer):
        _put_dense(group, layer)
    elif isinstance(layer, RecurrentLayer):
        _put_recurrent(group, layer)
    elif isinstance(layer, ConvLayer):
        _put_conv(group, layer)
    elif not isinstance(layer, FlattenLayer | AverageLayer):  # they are a type and a shape
        assert_never(layer)


def _put_input(group: Any, layer: InputLayer) -> None:
    if layer.neuron is not None or (layer.weight, layer.bias) != (64.0, 0.0):
        # scalars: NetX takes `int()` of them, which numpy deprecates for arrays
        _put(group, "weight", np.float64(layer.weight))
        _put(group, "bias", np.float64(layer.bias))
    _put_neuron(group, layer.neuron)


def _put_dense(group: Any, layer: DenseLayer) -> None:
    _put(group, "inFeatures", np.int64(layer.weight.shape[1]))
    _put(group, "outFeatures", np.int64(layer.weight.shape[0]))
    _put_synapse(group, layer)
    if layer.delay is not None and np.any(layer.delay):
        delay = _narrow(layer.delay, np.int8)
        per_output = delay.ndim == 2 and np.all(delay == delay[:, :1])
        _put(group, "delay", delay[:, 0] if per_output else delay)
    _put_neuron(group, layer.neuron)


def _put_recurrent(group: Any, layer: RecurrentLayer) -> None:
    _put(group, "inFeatures", np.int64(layer.weight.shape[1]))
    _put(group, "outFeatures", np.int64(layer.weight.shape[0]))
    _put_synapse(group, layer)
    _put(group, "weight_rec", _narrow(layer.weight_rec, np.int16))
    _put_neuron(group, layer.neuron)


def _put_conv(group: Any, layer: ConvLayer) -> None:
    _put(group, "inChannels", np.int64(layer.weight.shape[1] * layer.groups))
    _put(group, "outChannels", np.int64(layer.weight.shape[0]))
    _put(group, "kernelSize", np.asarray(layer.weight.shape[2:], dtype=np.int64))
    for name, value in (
        ("stride", layer.stride),
        ("padding", layer.padding),
        ("dilation", layer.dilation),
        ("groups", layer.groups),
    ):
        _put(group, name, np.asarray(value, dtype=np.int64))
    _put_synapse(group, layer)
    _put_neuron(group, layer.neuron)


def _put_synapse(group: Any, layer: SynapseLayer) -> None:
    _put(group, "weight", _narrow(layer.weight, np.int16))
    if layer.bias is not None:
        _put(group, "bias", _narrow(layer.bias, np.int32))


def _put_neuron(group: Any, neuron: Neuron | None) -> None:
    if neuron is None:
        return
    inner = group.create_group("neuron")
    inner.create_dataset("type", data=np.bytes_("CUBA"), track_times=False)
    for name, values in (
        ("iDecay", neuron.current_decay),
        ("vDecay", neuron.voltage_decay),
        ("vThMant", neuron.threshold),
    ):
        # one for the layer is a scalar, as SLAYER writes it
        _put(inner, name, np.reshape(values, ()) if np.size(values) == 1 else np.asarray(values))
    _put(inner, "refDelay", np.int64(1))
    _put(inner, "gradedSpike", np.bool_(False))


def _narrow(values: npt.NDArray[Any], dtype: type[np.integer[Any]]) -> npt.NDArray[Any]:
    """`values` in a smaller dtype if that loses nothing; `parse` names what is out of range."""
    limit = np.iinfo(dtype)
    fits = values.dtype.kind in "iu" and values.size > 0
    if fits and values.min() >= limit.min and values.max() <= limit.max:
        return values.astype(dtype)
    return values


def _put(group: Any, name: str, value: Any) -> None:
    group.create_dataset(name, data=value, track_times=False)
