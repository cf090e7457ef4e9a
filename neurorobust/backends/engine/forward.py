"""One layer's answer to a batch: sums by the planned path, integrated while they are in the cache.

Signals are uint8 `[batch, time, neurons]`, neurons in H, W, C order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from neurorobust.backends.engine import event, gemm, recurrent
from neurorobust.backends.engine.layer import LayerPlan
from neurorobust.backends.engine.lif_cpu import (
    KEEP_CURRENT,
    KEEP_DISTANCE,
    KEEP_VOLTAGE,
    LayerBuffers,
    Steps,
)
from neurorobust.backends.engine.loops import Array, over_batch
from neurorobust.fixedpoint import STATE_SHIFT


@dataclass(frozen=True, eq=False)
class Carried:
    """What one run of a layer leaves to the next; overwritten by each.

    Attributes:
        state: `[2, batch, neurons]`, u and v, of the layer's `endless_dtype`.
        spikes: uint8 `[batch, neurons]`, those of the last step.
    """

    state: Array
    spikes: Array


def fire(
    layer: LayerPlan,
    source: Tensor,
    steps: int,
    keep_voltage: bool = False,
    keep_current: bool = False,
    carried: Carried | None = None,
    keep_distance: bool = False,
) -> Steps:
    """A layer's answer, from zero state or from what is carried.

    Args:
        layer: the layer.
        source: 0/1 spikes `[batch, time, inputs]`, or drive `[batch, neurons]` (bias_mant) for an
            input layer. Steps before the last `steps` are only there to arrive late.
        steps: number of time steps.
        keep_voltage: return v before the reset.
        keep_current: return u.
        carried: what to go on from, and to leave.
        keep_distance: return v - theta in bfloat16 in the place of v before the reset.
    """
    keep = (KEEP_VOLTAGE if keep_voltage else 0) | (KEEP_CURRENT if keep_current else 0)
    keep |= KEEP_DISTANCE if keep_distance else 0
    samples = source.shape[0]  # len() of a tensor costs a microsecond
    buffers = LayerBuffers(layer, samples, steps, keep)
    if carried is not None:
        buffers.resume_from(carried.state, carried.spikes)
    amount = samples * steps * layer.neurons
    if layer.arithmetic is None:
        bias = source.numpy().astype(np.float32) * np.float32(1 << STATE_SHIFT)
        over_batch(lambda first, last: _drive(buffers, bias, first, last), samples, amount)
        return buffers.steps()
    signal = source.contiguous().numpy().astype(np.uint8, copy=False)
    gathered = layer.arithmetic.gathered and layer.arithmetic.gathers(signal)
    answer = event.fire if gathered else _product
    over_batch(lambda first, last: answer(buffers, signal, first, last), samples, amount)
    return buffers.steps()


def _drive(buffers: LayerBuffers, bias: Array, first: int, last: int) -> None:
    """An input layer has no synapse: its sums are zero."""
    silence = np.zeros((1, buffers.spikes.shape[1], buffers.layer.neurons), dtype=np.float32)
    buffers.integrate(silence, first, 0, last - first, bias)


def _product(buffers: LayerBuffers, signal: Array, first: int, last: int) -> None:
    """Sums of all inputs, block by block."""
    arithmetic, steps = buffers.layer.arithmetic, signal.shape[1]
    assert arithmetic is not None
    earlier = steps - buffers.spikes.shape[1]  # only where delays reach back, then all is one block
    samples, times = buffers.layer.memory.block(steps)
    for sample in range(first, last, samples):
        some = slice(sample, min(sample + samples, last))
        for step in range(0, steps, times):
            for left, band in gemm.sums(arithmetic, signal[some, step : step + times]):
                sums = np.ascontiguousarray(band[:, earlier:])
                if buffers.layer.feedback is None:
                    buffers.integrate(sums, sample, step, len(sums), left=left)
                else:
                    recurrent.integrate(buffers, sums, sample, step)
