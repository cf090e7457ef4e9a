"""One layer on a GPU: its synapse, its neurons, and both ways through them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from typing_extensions import assert_never

from neurorobust.backends.engine.gpu import adjoint, synapses
from neurorobust.backends.engine.gpu.conv import Conv
from neurorobust.backends.engine.gpu.lif import Cells, Keep, Steps, Sums, integrate
from neurorobust.backends.engine.gpu.synapses import Dense, Synapse
from neurorobust.errors import ModelFileError
from neurorobust.fixedpoint import (
    DECAY_UNITY,
    STATE_LIMIT,
    STATE_SHIFT,
    cast_bias,
    pack_recurrent_weights,
)
from neurorobust.netx.model import (
    ACCUMULATOR,
    ConvLayer,
    DenseLayer,
    InputLayer,
    IntArray,
    RecurrentLayer,
    Shape,
    SpikingLayer,
)
from neurorobust.surrogates import Surrogate


@dataclass(frozen=True, eq=False)
class GpuLayer:
    """One layer with neurons.

    Attributes:
        number: place in the file.
        kind: type in the file.
        shape: C, H, W.
        synapse: its weighted sums; None for the on-chip input layer.
        feedback: from its own spikes, one step later; None unless recurrent.
        cells: its neurons.
        kept: float64 `[2, neurons]`, what a step keeps of u and of v; no u in an input layer.
        theta: float64 `[neurons]`, vThMant << 6.
    """

    number: int
    kind: str
    shape: Shape
    synapse: Synapse | None
    feedback: Dense | None
    cells: Cells
    kept: Tensor
    theta: Tensor

    def fire(
        self, source: Tensor, steps: int, keep_current: bool = False, keep_voltage: bool = False
    ) -> Steps:
        """The layer's answer to spikes int8 `[batch, time, inputs]`, or drive `[batch, neurons]`.

        From zero state; drive is bias_mant, int32.
        """
        batch = len(source)
        keep = Keep(keep_current, keep_voltage)
        if self.synapse is None:
            return integrate(self.cells, None, batch, steps, keep, source << STATE_SHIFT)
        sums = self.synapse.sums(source)
        if self.feedback is None:
            return integrate(self.cells, sums, batch, steps, keep)
        return self._fire_recurrent(self.feedback, sums, batch, steps, keep)

    def _fire_recurrent(
        self, feedback: Dense, sums: Sums, batch: int, steps: int, keep: Keep
    ) -> Steps:
        forward = (sums.values >> sums.right) << sums.left
        state, done = None, list[Steps]()
        for step in range(steps):
            here = forward[:, step : step + 1]
            if done:
                back = feedback.sums(done[-1].spikes)
                here = here + ((back.values >> back.right) << back.left)
            done.append(integrate(self.cells, Sums(here), batch, 1, keep, None, state))
            state = done[-1].state
        current = [one.current for one in done if one.current is not None]
        voltage = [one.voltage for one in done if one.voltage is not None]
        return Steps(
            torch.cat([one.spikes for one in done], 1),
            done[-1].state,
            torch.cat(current, 1) if current else None,
            torch.cat(voltage, 1) if voltage else None,
        )

    def back(
        self,
        surrogate: Surrogate,
        voltage: Tensor,
        spike_gradient: Tensor,
        membrane_gradient: Tensor,
        scale: Tensor | None = None,
        precision: str = "float32",
        memory: bool = True,
    ) -> tuple[Tensor | None, Tensor]:
        """Gradients of the sums (None for an input layer) and of the bias, see `adjoint`.

        Args:
            surrogate: shape and width.
            voltage: int32 `[batch, time, neurons]`, v before the reset.
            spike_gradient: float32 `[batch, time, neurons]`.
            membrane_gradient: float32 `[batch, neurons]`; enters where the neuron did not spike.
            scale: a factor of ds/dv that broadcasts to `[batch, time, neurons]`.
            precision: of the products of a recurrent layer.
            memory: whether a step's u and v reach the next.
        """
        constants = adjoint.constants(self.kept * memory, self.theta, surrogate)
        silent = voltage[:, -1] <= self.theta
        carried = torch.stack([torch.zeros_like(membrane_gradient), membrane_gradient * silent])
        if self.feedback is None:
            given = spike_gradient if scale is None else spike_gradient * scale
            wanted = self.synapse is not None
            return adjoint.adjoint(constants, surrogate, voltage, given, carried, wanted)
        sums = torch.empty_like(spike_gradient)
        level = torch.zeros_like(membrane_gradient)
        factor = None if scale is None else scale.expand_as(spike_gradient)
        for step in reversed(range(voltage.shape[1])):
            part = slice(step, step + 1)
            given = spike_gradient[:, part]
            if step + 1 < voltage.shape[1]:
                given = given + self.feedback.transposed(sums[:, step + 1 : step + 2], precision)
            if factor is not None:
                given = given * factor[:, part]
            here, more = adjoint.adjoint(constants, surrogate, voltage[:, part], given, carried)
            assert here is not None
            sums[:, part] = here
            level += more
        return sums, level


def gpu_layer(layer: SpikingLayer, source: Shape, device: torch.device) -> GpuLayer:
    """Pack a layer that sees `source` (C, H, W) and move it to the device.

    Raises:
        ModelFileError: a fan-in beyond what int32 sums hold, or weights that Lava cannot pack.
    """
    neuron = layer.neuron or ACCUMULATOR
    bias = None if isinstance(layer, InputLayer) else layer.bias
    decays = np.stack([_spread(layer, neuron.current_decay), _spread(layer, neuron.voltage_decay)])
    theta = _spread(layer, neuron.threshold) << STATE_SHIFT
    biases = cast_bias(_spread(layer, np.zeros(1, np.int64) if bias is None else bias))
    reached = np.clip(theta, -STATE_LIMIT, STATE_LIMIT)
    kept = DECAY_UNITY - decays
    rows = np.stack([*kept, reached, biases << STATE_SHIFT]).astype(np.int32)
    try:
        synapse, feedback = _synapses(layer, source, device)
    except ModelFileError as error:
        raise ModelFileError(f"layer {layer.number} ({layer.kind}): {error}") from None
    return GpuLayer(
        layer.number,
        layer.kind,
        layer.shape,
        synapse,
        feedback,
        Cells(torch.from_numpy(rows).to(device)),
        torch.from_numpy(kept / DECAY_UNITY).to(device),
        torch.from_numpy(theta.astype(np.float64)).to(device),
    )


def _synapses(
    layer: SpikingLayer, source: Shape, device: torch.device
) -> tuple[Synapse | None, Dense | None]:
    if isinstance(layer, InputLayer):
        return None, None
    if isinstance(layer, RecurrentLayer):
        forward, back = pack_recurrent_weights(layer.weight, layer.weight_rec)
        return Dense(forward, source, device), Dense(back, layer.shape, device)
    if isinstance(layer, DenseLayer):
        return synapses.dense(layer, source, device), None
    if isinstance(layer, ConvLayer):
        return Conv(layer, source, device), None
    assert_never(layer)


def _spread(layer: SpikingLayer, values: IntArray) -> IntArray:
    """One value for the layer or one a channel -> one a neuron, in H, W, C order."""
    channels, height, width = layer.shape
    flat = np.broadcast_to(np.asarray(values, dtype=np.int64).reshape(-1), (channels,))
    return np.tile(flat, height * width)
