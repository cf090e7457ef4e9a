"""How late the board answers, measured: an impulse through adapters, one layer, and back.

Every path to and from the chip adds steps that differ between boards and versions: the input
adapter, the output adapter, the reader of states. One run of a layer of three neurons tells all:

- neuron 0 spikes at the impulse: when its spike comes out is input + output latency;
- neuron 1 keeps the impulse in its voltage: when that shows is input + reader latency;
- neuron 2 counts steps since its reset (a bias of 1, no leak): what it has counted when neuron 1
  jumps is the input latency alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from neurorobust.backends.hosted.exchange import Array
from neurorobust.netx.model import ConvLayer, DenseLayer, InputLayer, NetxModel, Neuron

INTERVAL = 64  # steps between resets while calibrating; latencies up to half of it are found
IMPULSE = INTERVAL + INTERVAL // 2  # column of the impulse: the middle of the second interval
STEPS = 3 * INTERVAL
_NEVER = 131071  # the largest threshold of the chip


@dataclass(frozen=True)
class Latency:
    """Steps that each path adds to Lava's own.

    Attributes:
        input: from the source to the first synapse.
        output: from a neuron to the sink.
        state: from a neuron's variable to the sink.
    """

    input: int
    output: int
    state: int

    def as_dict(self) -> dict[str, int]:
        """For records."""
        return asdict(self)


def network(conv: bool) -> NetxModel:
    """The layer of three neurons, behind the kind of input that the real network has."""
    neuron = Neuron.of([4096] * 3, [0] * 3, [1, _NEVER, _NEVER])
    weight, bias = np.array([[200], [2], [0]]), np.array([0, 0, 1])
    if conv:
        layer = ConvLayer(1, (3, 1, 1), neuron, weight.reshape(3, 1, 1, 1), bias)
        return NetxModel((1, 1, 1), (InputLayer(0, (1, 1, 1), None), layer))
    return NetxModel((1, 1, 1), (DenseLayer(0, (3, 1, 1), neuron, weight, bias),))


def impulse() -> Array:
    """Input spikes `[time]`."""
    data = np.zeros(STEPS, dtype=np.int32)
    data[IMPULSE] = 1
    return data


def latency(spikes: Array, voltage: Array) -> Latency:
    """What the answers tell.

    Args:
        spikes: of the three neurons, as they arrived `[3, STEPS]`.
        voltage: theirs, likewise. The network was built with resets for an input that adds no
            latency.

    Raises:
        ValueError: the impulse did not come back as one spike, or earlier than it can.
    """
    out = np.flatnonzero(spikes[0])
    if len(out) != 1:
        raise ValueError(f"{len(out)} spikes came back for one impulse within {STEPS} steps")
    jumps = np.flatnonzero(voltage[1])
    if not len(jumps):
        raise ValueError(f"no state came back within {STEPS} steps")
    counted = int(voltage[2, jumps[0]]) >> 6  # a bias of 1 adds 64 a step
    input_latency = counted - (IMPULSE % INTERVAL) - 1
    # without latency Lava's own column is one (the synapse's) behind the source's
    found = Latency(
        input_latency,
        int(out[0]) - IMPULSE - 1 - input_latency,
        int(jumps[0]) - IMPULSE - 1 - input_latency,
    )
    if min(found.as_dict().values()) < 0:
        raise ValueError(f"latencies {found.as_dict()}: earlier than the impulse")
    return found


def interval(steps: int, depth: int, late: Latency) -> int:
    """The shortest reset interval, a power of two, in which a sample's answers all arrive."""
    needed = steps + depth + late.input + max(late.output, late.state) + 1
    return 1 << max(1, (needed - 1).bit_length())
