"""From the gradient of weighted sums to those of a synapse's input spikes and of its weights.

Gradients of sums are `[batch, time, outputs]`, of the sums after their shift: float32, or bfloat16
where every product would round them to it; `time` is 1 where the gradient is the same at every
step. A shift counts as the factor 2^-shift, a wrap as none.
"""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import assert_never

from neurorobust.backends.engine import event_gradient
from neurorobust.backends.engine.conv import transposed_conv_sums
from neurorobust.backends.engine.matmul import product, rounded_product
from neurorobust.backends.engine.synapses import Conv, DelayedDense, Dense, Synapse
from neurorobust.netx.model import Shape

BLOCK_ENTRIES = 1 << 20  # of a convolution's patches


def input_gradient(synapse: Synapse, sums: Tensor, steps: int, precision: str) -> Tensor:
    """`[batch, time, inputs]`, float32, or bfloat16 where the product rounded it.

    `time` is 1 where it is the same at every step.
    """
    batch, held, _ = sums.shape
    if isinstance(synapse, Dense):
        weight = synapse.rounded if precision == "bfloat16" else synapse.weight
        rows = rounded_product(sums.flatten(0, 1), weight, precision)
        return _shifted(rows, synapse.shift).view(batch, held, -1)
    if isinstance(synapse, DelayedDense):
        return _delayed_input_gradient(synapse, sums.expand(-1, steps, -1), precision)
    return transposed_conv_sums(synapse, sums)


def weight_gradient(
    synapse: Synapse,
    sums: Tensor,
    spikes: Tensor,
    source: Shape,
    delays: Tensor | None,
    precision: str,
) -> Tensor:
    """Of the weights as the file holds them, float32, summed over the batch.

    Args:
        synapse: the synapse.
        sums: see above.
        spikes: what it was fed, `[batch, time, inputs]`.
        source: shape of what it was fed, C, H, W.
        delays: `[out, in]` as the file holds them, for a synapse with delays.
        precision: of the products.

    Returns:
        `[out, in]`, columns in C, H, W order; `[out, in / groups, kH, kW]` for a convolution.
    """
    if isinstance(synapse, Conv):
        return _conv_weight_gradient(synapse, sums, spikes, precision)
    if isinstance(synapse, Dense):
        if sums.shape[1] == 1 < spikes.shape[1]:
            spikes = spikes.sum(1, keepdim=True, dtype=torch.float32)
        packed = _outer(sums.flatten(0, 1), spikes.flatten(0, 1), precision)
    elif isinstance(synapse, DelayedDense):
        assert delays is not None
        packed = _delayed_weight_gradient(
            synapse, sums, spikes, packed_order(delays, source), precision
        )
    else:
        assert_never(synapse)
    return _in_file_order(packed, source)


def packed_order(stored: Tensor, source: Shape) -> Tensor:
    """Columns of a file's `[out, in]` matrix, C, H, W order, in the engine's H, W, C order."""
    return stored.view(-1, *source).permute(0, 2, 3, 1).reshape(stored.shape)


def _in_file_order(packed: Tensor, source: Shape) -> Tensor:
    channels, height, width = source
    order = packed.view(-1, height, width, channels).permute(0, 3, 1, 2)
    return order.reshape(packed.shape)


def feedback_gradient(sums: Tensor, spikes: Tensor, precision: str) -> Tensor:
    """Of a recurrent layer's `weight_rec`, `[to, from]`, float32, summed over the batch.

    Args:
        sums: see above, at every step.
        spikes: the layer's own, `[batch, time, neurons]`.
        precision: of the product.
    """
    return _outer(sums[:, 1:].flatten(0, 1), spikes[:, :-1].flatten(0, 1), precision)


def _outer(sums: Tensor, spikes: Tensor, precision: str) -> Tensor:
    """`sums.T @ spikes`, by the faster way for so many spikes."""
    if event_gradient.gathers(sums, spikes, precision):
        return event_gradient.gathered(sums, spikes)
    return product(sums.t(), spikes, precision)


def _shifted(values: Tensor, shift: int) -> Tensor:
    return values.mul_(2.0**-shift) if shift else values


def _delayed_input_gradient(synapse: DelayedDense, sums: Tensor, precision: str) -> Tensor:
    batch, steps, _ = sums.shape
    total = torch.zeros((batch, steps, synapse.inputs), dtype=torch.float32, device=sums.device)
    for bucket in synapse.buckets:
        if bucket.delay >= steps:
            continue
        answered = sums[:, bucket.delay :].index_select(2, bucket.rows)
        part = product(answered.flatten(0, 1), bucket.weight, precision)
        part = _shifted(part, synapse.bucket_shift).view(batch, steps - bucket.delay, -1)
        total[:, : steps - bucket.delay].index_add_(2, bucket.columns, part)
    return total


def _delayed_weight_gradient(
    synapse: DelayedDense, sums: Tensor, spikes: Tensor, delays: Tensor, precision: str
) -> Tensor:
    """Each synapse at its own delay; one whose weight is 0 has a delay (and a gradient) too."""
    steps = spikes.shape[1]
    sums = sums.expand(-1, steps, -1)
    total = torch.zeros((synapse.outputs, synapse.inputs), dtype=torch.float32, device=sums.device)
    for bucket in synapse.buckets:
        if bucket.delay >= steps:
            continue
        answered = sums[:, bucket.delay :].index_select(2, bucket.rows).flatten(0, 1)
        seen = spikes[:, : steps - bucket.delay].index_select(2, bucket.columns).flatten(0, 1)
        part = product(answered.t(), seen, precision)
        chosen = delays[bucket.rows[:, None], bucket.columns] == bucket.delay
        total[bucket.rows[:, None], bucket.columns] += part * chosen
    return total


def _conv_weight_gradient(synapse: Conv, sums: Tensor, spikes: Tensor, precision: str) -> Tensor:
    if sums.shape[1] == 1 < spikes.shape[1]:
        spikes = spikes.sum(1, keepdim=True, dtype=torch.float32)
    (channels, height, width), (top, left) = synapse.source, synapse.padding
    frames = spikes.to(torch.float32).flatten(0, 1).view(-1, height, width, channels)
    frames = torch.nn.functional.pad(frames, (0, 0, left, left, top, top)).contiguous()
    outputs, groups = synapse.target[0], synapse.groups
    answers = sums.flatten(0, 1).view(len(frames), -1, groups, outputs // groups)
    inner, (rows, columns) = channels // groups, synapse.kernel
    entries = answers.shape[1] * rows * columns * channels
    total = torch.zeros((groups, outputs // groups, rows * columns * inner), device=sums.device)
    for part, answered in zip(
        torch.split(frames, max(1, BLOCK_ENTRIES // entries)),
        torch.split(answers, max(1, BLOCK_ENTRIES // entries)),
        strict=True,
    ):
        seen = _patches(synapse, part)
        for group in range(groups):
            left_side = answered[:, :, group].flatten(0, 1).t()
            right_side = seen[..., group, :].reshape(left_side.shape[1], -1)
            total[group] += product(left_side, right_side, precision)
    return (
        total.view(outputs, rows, columns, inner).permute(0, 3, 1, 2).contiguous()
    )  # groups outermost, as in the file


def _patches(synapse: Conv, frames: Tensor) -> Tensor:
    """A view `[frames, H', W', kernel H, kernel W, groups, C / groups]` of padded frames."""
    inner = synapse.source[0] // synapse.groups
    frame, row, column, _ = frames.stride()
    (down, right), (lower, further) = synapse.stride, synapse.dilation
    return frames.as_strided(
        (len(frames), *synapse.target[1:], *synapse.kernel, synapse.groups, inner),
        (frame, row * down, column * right, row * lower, column * further, inner, 1),
    )
