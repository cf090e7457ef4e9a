"""Float layers as bytes: a line of JSON, then the arrays in npy format, one after the other."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np

from neurorobust.netx.model import Shape
from neurorobust.nir.layers import FloatLayer, Floats, Synapses

_OF_SYNAPSES = ("weight", "bias")
_OF_NEURONS = ("gain", "keep_u", "keep_v", "bias", "threshold")


def pack(shape: Shape, layers: tuple[FloatLayer, ...]) -> bytes:
    """What `unpack` reads."""
    stream = io.BytesIO()
    rows = [
        {
            "name": layer.name,
            "shape": layer.shape,
            "synapses": {
                "name": layer.synapses.name,
                "stride": layer.synapses.stride,
                "padding": layer.synapses.padding,
                "dilation": layer.synapses.dilation,
                "groups": layer.synapses.groups,
            },
        }
        for layer in layers
    ]
    stream.write(json.dumps({"error": None, "shape": shape, "layers": rows}).encode() + b"\n")
    for layer in layers:
        for part, names in ((layer.synapses, _OF_SYNAPSES), (layer, _OF_NEURONS)):
            for name in names:
                np.save(stream, getattr(part, name), allow_pickle=False)
    return stream.getvalue()


def unpack(data: bytes) -> tuple[Shape, tuple[FloatLayer, ...]]:
    """What was packed, equal."""
    stream = io.BytesIO(data)
    header = json.loads(stream.readline())
    layers = []
    for row in header["layers"]:
        told = row["synapses"]
        for name in ("stride", "padding", "dilation"):
            told[name] = tuple(told[name])
        arrays: dict[str, Any] = {name: _array(stream) for name in _OF_SYNAPSES}
        synapses = Synapses(**told, **arrays)
        arrays = {name: _array(stream) for name in _OF_NEURONS}
        layers.append(FloatLayer(row["name"], synapses, tuple(row["shape"]), **arrays))
    return tuple(header["shape"]), tuple(layers)


def _array(stream: io.BytesIO) -> Floats:
    return np.asarray(np.load(stream, allow_pickle=False), dtype=np.float64)
