"""One sample as it runs, and what a change of its input spikes makes of it.

    refresh   run the whole sample
    probe     the answers after a change; the sample stays as it is
    settle    make the change, or forget it

A step is the engine's own (`lif_vector`), in the floating type in which it is exact
(`Blocks.cells`); sums are whole numbers below 2^24.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from neurorobust.backends.engine.incremental.network import STEPS_MAX, Blocks
from neurorobust.backends.engine.incremental.vectors import add_scaled, copy, set_bit
from neurorobust.backends.engine.intrinsics import uncounted
from neurorobust.backends.engine.lif_vector import WIDTH, vector_step
from neurorobust.backends.engine.loops import Array, compiled, inlined

_vector_step = vector_step(remembers=True, recorded=False, never_wraps=False)

COUNT, CHARGE, LAST, NEAR = range(4)  # what is known of an output neuron, see `Sample.now`


class Sample(NamedTuple):
    """State of one sample, and of the change that is being tried.

    Attributes:
        words: uint64 `[sources]`; bit t: a spike in step t. Of the output neurons nothing is kept.
        tried: uint64 `[sources]`; the same with the change, of sources in `changed`.
        sums: float32 `[neurons * steps]`; what the synapses deliver, block by block, step by step.
        extra: float32, as `sums`; what the change adds.
        past: `[2, neurons * steps]`, in the type of `Blocks.cells`; u and v before every step.
        since: int32 `[blocks]`; first step that the change reaches.
        marked: uint8 `[blocks]`; reached by the change.
        reached: int32 `[blocks]`; the marked blocks.
        changed: int32 `[sources]`; the sources whose spikes the change alters.
        sizes: int64 `[2]`; how many are reached, and changed.
        work: int64 `[1]`; neurons times steps that were computed so far.
        now: float64 `[4, outputs]`; spikes of each output neuron, the sum of its u over time, its v
            after the last step, and the sum over time of how near v came to the threshold (v /
            theta from -1 to 1; a spike is 1).
        then: float64 `[4, outputs]`; the same with the change.
        lanes: `[4, widest block]`; scratch.
        row: float32 `[widest block]`; scratch.
        spikes: uint8 `[widest block]`; scratch.
        fired: uint64 `[widest block]`; scratch.
        bits: int64 `[64]`; scratch.
        signs: float32 `[64]`; scratch.
    """

    words: Array
    tried: Array
    sums: Array
    extra: Array
    past: Array
    since: Array
    marked: Array
    reached: Array
    changed: Array
    sizes: Array
    work: Array
    now: Array
    then: Array
    lanes: Array
    row: Array
    spikes: Array
    fired: Array
    bits: Array
    signs: Array


def empty(net: Blocks) -> Sample:
    """No spike anywhere; `refresh` is due."""
    sources, blocks = int(net.first_source[-1]), int(net.first_block[-1])
    cells = net.cells.shape[1] * net.steps
    outputs, widest = net.outputs, int(net.width.max())
    words, sums = np.zeros(sources, np.uint64), np.zeros(cells, np.float32)
    return Sample(
        words,
        words.copy(),
        sums,
        sums.copy(),
        np.zeros((2, cells), net.cells.dtype),
        np.zeros(blocks, np.int32),
        np.zeros(blocks, np.uint8),
        np.zeros(blocks, np.int32),
        np.zeros(sources, np.int32),
        np.zeros(2, np.int64),
        np.zeros(1, np.int64),
        np.zeros((4, outputs)),
        np.zeros((4, outputs)),
        np.zeros((4, widest), net.cells.dtype),
        np.zeros(widest, np.float32),
        np.zeros(widest, np.uint8),
        np.zeros(widest, np.uint64),
        np.zeros(STEPS_MAX, np.int64),
        np.zeros(STEPS_MAX, np.float32),
    )


@inlined
def _run(net: Blocks, sample: Sample, layer: int, block: int, first: int, record: bool) -> None:
    """Step a block's neurons from step `first` on; `fired` becomes their spikes.

    Args:
        net: the network.
        sample: with `extra` on top of its sums.
        layer: of the block.
        block: which.
        first: step.
        record: note u and v before every step.
    """
    width, scale, output = net.width[layer], net.scale[layer], layer == len(net.width) - 1
    source = net.first_source[layer] + (block - net.first_block[layer]) * width
    neuron = source - net.first_source[1]
    at = (neuron * net.steps) + first * width
    lanes, some = uncounted(sample.lanes), slice(0, width)
    u, v, charge, near = lanes[0][some], lanes[1][some], lanes[2][some], lanes[3][some]
    row, one = uncounted(sample.row)[some], np.float32(1.0)
    spikes, fired = uncounted(sample.spikes)[some], uncounted(sample.fired)[some]
    cells, own = uncounted(net.cells), slice(neuron, neuron + width)
    kept_u, kept_v, theta, bias = cells[0][own], cells[1][own], cells[2][own], cells[3][own]
    sums, extra, words = uncounted(sample.sums), uncounted(sample.extra), uncounted(sample.words)
    past_u, past_v = uncounted(sample.past)[0], uncounted(sample.past)[1]
    early = (np.uint64(1) << np.uint64(first)) - np.uint64(1)
    sample.work[0] += width * (net.steps - first)
    for lane in range(0, width, WIDTH):
        copy(u, lane, past_u, at + lane)
        copy(v, lane, past_v, at + lane)
    for i in range(width):
        fired[i] = words[source + i] & early
    for step in range(first, net.steps):
        if record:
            for lane in range(0, width, WIDTH):
                copy(past_u, at + lane, u, lane)
                copy(past_v, at + lane, v, lane)
        for lane in range(0, width, WIDTH):
            add_scaled(row, lane, sums, at + lane, extra, at + lane, one)
            _vector_step(row, scale, spikes, u, v, kept_u, kept_v, theta, bias, row, row, lane)
            set_bit(fired, lane, spikes, step)
        if output:
            for i in range(width):
                charge[i] += u[i]
                near[i] += 1.0 if spikes[i] else min(max(v[i] / max(theta[i], 1.0), -1.0), 1.0)
        at += width


@inlined
def _answers(net: Blocks, sample: Sample, layer: int, into: Array) -> None:
    """Run the output block from the first step on, and write down what is read of it."""
    width = net.width[layer]
    sample.lanes[2:, :width] = 0.0
    _run(net, sample, layer, net.first_block[layer], 0, False)
    for i in range(net.outputs):
        word, count = sample.fired[i], 0.0
        while word:
            word &= word - np.uint64(1)
            count += 1.0
        into[COUNT, i], into[CHARGE, i] = count, sample.lanes[2, i]
        into[LAST, i], into[NEAR, i] = sample.lanes[1, i], sample.lanes[3, i]


@inlined
def _spread(net: Blocks, sample: Sample, source: int) -> None:
    """Add to `extra` what a source sends more or less, and list the blocks that it reaches."""
    before, after = sample.words[source], sample.tried[source]
    differs, steps, signs, count = (
        before ^ after,
        uncounted(sample.bits),
        uncounted(sample.signs),
        0,
    )
    for step in range(net.steps):
        if (differs >> np.uint64(step)) & np.uint64(1):
            steps[count] = step
            signs[count] = 1.0 if (after >> np.uint64(step)) & np.uint64(1) else -1.0
            count += 1
    layer = 1
    while source >= net.first_source[layer]:
        layer += 1
    width = net.width[layer]
    begin = (net.first_source[layer] - net.first_source[1]) * net.steps
    extra, table, marked, since = (
        uncounted(sample.extra),
        uncounted(net.table),
        uncounted(sample.marked),
        uncounted(sample.since),
    )
    for link in range(net.links[source], net.links[source + 1]):
        block, row, late = net.block[link], net.row[link], net.late[link]
        if steps[0] + late >= net.steps:
            continue
        if not marked[block]:
            marked[block] = 1
            sample.reached[sample.sizes[0]] = block
            sample.sizes[0] += 1
            since[block] = steps[0] + late
        elif steps[0] + late < since[block]:
            since[block] = steps[0] + late
        place = begin + (block - net.first_block[layer]) * width * net.steps
        for i in range(count):
            if steps[i] + late >= net.steps:
                break
            at, sign = place + (steps[i] + late) * width, signs[i]
            for lane in range(0, width, WIDTH):
                add_scaled(extra, at + lane, extra, at + lane, table, row + lane, sign)


@compiled
def probe(net: Blocks, sample: Sample, places: Array, words: Array, count: int) -> None:
    """Try other spikes at `count` inputs, each named once; `then` becomes the answers.

    Args:
        net: the network.
        sample: refreshed, nothing being tried.
        places: int64, inputs in C, H, W order.
        words: uint64, their spikes.
        count: how many of both are meant.
    """
    sample.sizes[0], sample.sizes[1] = 0, 0
    for i in range(count):
        if words[i] != sample.words[places[i]]:
            sample.tried[places[i]] = words[i]
            sample.changed[sample.sizes[1]] = places[i]
            sample.sizes[1] += 1
    from_source, from_block, last = 0, 0, len(net.width) - 1
    for layer in range(1, last + 1):
        until = sample.sizes[1]
        for i in range(from_source, until):
            _spread(net, sample, sample.changed[i])
        from_source = until
        if layer == last:
            if sample.sizes[0] > from_block:
                _answers(net, sample, layer, sample.then)
            else:
                sample.then[:] = sample.now
            break
        width = net.width[layer]
        for i in range(from_block, sample.sizes[0]):
            block = sample.reached[i]
            _run(net, sample, layer, block, sample.since[block], False)
            source = net.first_source[layer] + (block - net.first_block[layer]) * width
            for j in range(width):
                if sample.fired[j] != sample.words[source + j]:
                    sample.tried[source + j] = sample.fired[j]
                    sample.changed[sample.sizes[1]] = source + j
                    sample.sizes[1] += 1
        from_block = sample.sizes[0]


@compiled
def settle(net: Blocks, sample: Sample, keep: bool) -> None:
    """Make the change that was tried (`keep`), or forget it."""
    layer, last = 1, len(net.width) - 1
    for i in range(sample.sizes[0]):
        block = sample.reached[i]
        while block >= net.first_block[layer + 1]:
            layer += 1
        width, first = net.width[layer], sample.since[block]
        within = (block - net.first_block[layer]) * width
        begin = (net.first_source[layer] - net.first_source[1] + within) * net.steps
        row, end = begin + first * width, begin + net.steps * width
        if keep:
            if layer < last:
                _run(net, sample, layer, block, first, True)
            sample.sums[row:end] += sample.extra[row:end]
        sample.extra[row:end] = 0
        sample.marked[block] = 0
    if keep:
        for i in range(sample.sizes[1]):
            sample.words[sample.changed[i]] = sample.tried[sample.changed[i]]
        sample.now[:] = sample.then
    sample.sizes[:] = 0


@compiled
def refresh(net: Blocks, sample: Sample, words: Array) -> None:
    """Run a sample from its input spikes (uint64 `[inputs]`) on; `now` becomes the answers."""
    sample.words[:] = np.uint64(0)
    sample.sums[:] = 0
    sample.extra[:] = 0
    sample.past[:] = 0.0
    sample.marked[:] = 0
    sample.sizes[:] = 0
    last = len(net.width) - 1
    for layer in range(last):
        for source in range(net.first_source[layer], net.first_source[layer + 1]):
            if layer == 0:
                sample.tried[source] = words[source]
            if sample.tried[source]:
                _spread(net, sample, source)
        sample.sums[:] += sample.extra
        sample.extra[:] = 0
        for source in range(net.first_source[layer], net.first_source[layer + 1]):
            sample.words[source] = sample.tried[source]
        if layer + 1 == last:
            break
        for block in range(net.first_block[layer + 1], net.first_block[layer + 2]):
            width = net.width[layer + 1]
            source = net.first_source[layer + 1] + (block - net.first_block[layer + 1]) * width
            _run(net, sample, layer + 1, block, 0, True)
            for i in range(width):
                sample.tried[source + i] = sample.fired[i]
    _answers(net, sample, last, sample.now)
    sample.marked[:] = 0
    sample.sizes[:] = 0
