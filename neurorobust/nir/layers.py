"""A layer of a NIR graph after discretisation: floats, one step of `dt` at a time.

    u <- keep_u * u + W * s          current, in units of the voltage that it adds in a step
    v <- keep_v * v + u + bias       spike where v > threshold, then v = 0

NIR's equations (`nir-spec`, primitives) by forward Euler, the current before the voltage as in
SLAYER and Lava:

    LIF       tau dv/dt = v_leak - v + r I             keep_u = 0, keep_v = 1 - dt/tau
    CubaLIF   tau_syn dI/dt = -I + w_in S, then LIF    keep_u = 1 - dt/tau_syn
    IF        dv/dt = r I                              keep_u = 0, keep_v = 1
    LI        LIF that never spikes

In an IF neuron a spike of weight w adds r w, and a bias b adds r b in a step, however long a step
is: without a time constant the current is what arrives in a step, and this is what the simulators
of the NIR paper compute (`dt` does not appear in their IF). In the others it is scaled by dt / tau.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neurorobust.netx.model import Pair, Shape

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Synapses:
    """A dense matrix `[out, in]` or conv kernels `[out, in / groups, kH, kW]`.

    Attributes:
        name: of the NIR node, or several joined by `+`.
        weight: float64.
        bias: float64 `[out]`, what flows at every step.
        stride, padding, dilation: (H, W), of kernels.
    """

    name: str
    weight: Floats
    bias: Floats
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    @property
    def dense(self) -> bool:
        """Whether it is a matrix."""
        return self.weight.ndim == 2

    def output(self, shape: Shape) -> Shape:
        """C, H, W of what it gives for an input of C, H, W."""
        if self.dense:
            return len(self.weight), 1, 1
        rows, columns = (
            (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for size, kernel, stride, padding, dilation in zip(
                shape[1:],
                self.weight.shape[2:],
                self.stride,
                self.padding,
                self.dilation,
                strict=True,
            )
        )
        return len(self.weight), rows, columns


@dataclass(frozen=True, eq=False)
class FloatLayer:
    """Synapses and the neurons behind them.

    Attributes:
        name: `synapse -> neuron`, by the names of NIR's nodes.
        synapses: their weights as NIR has them.
        shape: C, H, W of the neurons.
        gain: `[1]` or `[C]`, what a step adds to u for a weighted sum of 1.
        keep_u, keep_v: `[1]` or `[C]`, what a step keeps.
        bias: `[C]`, what a step adds to v.
        threshold: `[1]` or `[C]`; infinite where nothing spikes.
    """

    name: str
    synapses: Synapses
    shape: Shape
    gain: Floats
    keep_u: Floats
    keep_v: Floats
    bias: Floats
    threshold: Floats

    @property
    def weight(self) -> Floats:
        """What one input spike adds to u."""
        rest = (1,) * (self.synapses.weight.ndim - 1)
        return self.synapses.weight * self.gain.reshape(-1, *rest)
