"""x -> what the network is fed: exact integers (`encode`), or the same with gradients (`forward`).

    drive     a constant bias into the on-chip input layer: trunc(weight * (x - mean) / std + bias)
    poisson   rate code: one independent coin a pixel and step, P(spike) = gain * x
    latency   time to first spike: one spike a pixel, at step floor((1 - x) * steps), none at x = 0
    direct    x already is binary spikes

A network may want another shape than the data have (28x28 pixels into 784 dense inputs): C, H, W
are reshaped in that order where the number of inputs agrees.
"""

from neurorobust.encoders.base import Code, Encoder, Entrance, Parameters, Shape
from neurorobust.encoders.direct import DirectEncoder
from neurorobust.encoders.drive import BIAS_MAX, BIAS_MIN, DriveEncoder
from neurorobust.encoders.latency import LatencyEncoder
from neurorobust.encoders.poisson import PoissonEncoder

_ALL: tuple[type[Code], ...] = (DriveEncoder, PoissonEncoder, LatencyEncoder, DirectEncoder)
ENCODERS: dict[str, type[Code]] = {encoder.name: encoder for encoder in _ALL}

__all__ = [
    "BIAS_MAX",
    "BIAS_MIN",
    "ENCODERS",
    "Code",
    "DirectEncoder",
    "DriveEncoder",
    "Encoder",
    "Entrance",
    "LatencyEncoder",
    "Parameters",
    "PoissonEncoder",
    "Shape",
]
