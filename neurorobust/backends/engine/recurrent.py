"""Recurrent layers: what a layer's spikes add to its own sums one step later, and its adjoint.

The feed-forward sums of all steps are taken at once, as for any dense layer. Then time is gone
through step by step: the weights of the neurons that spiked are gathered, their sum is shifted
right on its own, as in Lava, and the neurons integrate both.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from neurorobust.backends.engine.adjoint_cpu import Adjoining, Gradients
from neurorobust.backends.engine.event import gather_row
from neurorobust.backends.engine.intrinsics import uncounted
from neurorobust.backends.engine.layer import LayerPlan
from neurorobust.backends.engine.lif_cpu import LayerBuffers
from neurorobust.backends.engine.loops import Array, compiled
from neurorobust.backends.engine.matmul import product
from neurorobust.backends.engine.synapses import FLOAT32_EXACT, Feedback
from neurorobust.surrogates import Surrogate


def integrate(buffers: LayerBuffers, sums: Array, sample: int, step: int) -> None:
    """Take a recurrent layer's neurons through some steps, on from the state they are in.

    Args:
        buffers: what the layer writes on.
        sums: `[samples, time, neurons]` feed-forward sums before their shift.
        sample: the first sample.
        step: the first step.
        before: uint8 `[batch, neurons]`, the spikes of the step before step 0.
    """
    feedback = buffers.layer.feedback
    assert feedback is not None
    assert buffers.before is not None
    samples, steps, width = sums.shape
    some = slice(sample, sample + samples)
    exact = buffers.layer.activation < FLOAT32_EXACT
    totals = np.empty((samples, 1, width), dtype=np.float32 if exact else np.float64)
    weights, back = feedback.event, 2.0**-feedback.shift
    scale = 2.0 ** -(buffers.layer.synapse.shift if buffers.layer.synapse else 0)
    for t in range(steps):
        here = step + t
        spikes = buffers.before[some] if here == 0 else buffers.spikes[some, here - 1]
        _add_returned(
            sums[:, t], scale, spikes, weights.blocks, weights.quads, weights.factor, back, totals
        )
        buffers.integrate(totals, sample, here, len(totals))


def returned(feedback: Feedback, spikes: Tensor) -> Tensor:
    """What comes back of spikes `[batch, time, neurons]`: float32 sums after the shift."""
    earlier = torch.nn.functional.pad(spikes, (0, 0, 1, 0))[:, :-1].to(torch.float64)
    sums = torch.matmul(earlier, feedback.weight.t().to(torch.float64))
    return sums.mul_(2.0**-feedback.shift).floor_().to(torch.float32)


def adjoint(
    layer: LayerPlan,
    surrogate: Surrogate,
    voltage: Tensor,
    spike_gradient: Tensor,
    membrane_gradient: Tensor | None,
    scale: Tensor | None,
    precision: str,
) -> Gradients:
    """`adjoint_cpu.adjoint`, where a spike also moves the sums of the step after it."""
    feedback = layer.feedback
    assert feedback is not None
    adjoining = Adjoining(layer, surrogate, voltage, membrane_gradient)
    sums = torch.empty(voltage.shape, dtype=torch.float32)
    given = spike_gradient.expand(voltage.shape)
    factors = None if scale is None else scale.expand(voltage.shape)
    later = torch.zeros((len(voltage), 1, layer.neurons), dtype=torch.float32)
    for step in reversed(range(voltage.shape[1])):
        part = slice(step, step + 1)
        factor = None if factors is None else factors[:, part]
        here = torch.empty_like(later)
        adjoining.back(voltage[:, part], given[:, part] + later, factor, here)
        sums[:, part] = here
        later = product(here[:, 0], feedback.weight, precision)[:, None] * 2.0**-feedback.shift
    return Gradients(sums, adjoining.level)


@compiled
def _add_returned(
    sums: Array, scale: float, spikes: Array, blocks: Array, quads: bool, factor: float,
    back: float, totals: Array,
) -> None:  # fmt: skip
    """Totals `[samples, 1, neurons]` of one step: both sums, each shifted on its own."""
    sums, spikes, blocks, totals = (
        uncounted(sums),
        uncounted(spikes),
        uncounted(blocks),
        uncounted(totals),
    )
    samples, _, width = totals.shape
    active, gathered = np.empty(width + 1, np.uint32), np.empty(blocks.shape[2], np.int16)
    returned = np.zeros(len(blocks) * blocks.shape[2], np.float32)
    for b in range(samples):
        gather_row(spikes[b], blocks, quads, factor, active, gathered, returned)
        for n in range(width):
            forward = np.floor(np.float64(sums[b, n]) * scale)
            totals[b, 0, n] = forward + np.floor(np.float64(returned[n]) * back)
