"""NetX HDF5 files as plain data. Imports neither torch nor Lava."""

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
)
from neurorobust.netx.read import read
from neurorobust.netx.write import write

__all__ = [
    "AverageLayer",
    "ConvLayer",
    "DenseLayer",
    "FlattenLayer",
    "InputLayer",
    "Layer",
    "NetxModel",
    "Neuron",
    "RecurrentLayer",
    "read",
    "write",
]
