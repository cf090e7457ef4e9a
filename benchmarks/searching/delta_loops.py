"""What a few changed input spikes change: every neuron they reach is run again, and no other.

`refresh` runs a whole sample; `probe` finds the answers after a change and leaves the sample as it
was; `settle` makes the change, or forgets it. All integers are those of docs/semantics.md.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from searching.delta_network import ENDS, Array, Net

TAIL = 0.1  # what a membrane below 0 counts for, see `nearness`


class State(NamedTuple):
    """One sample as it runs, and one change that is being tried.

    Attributes:
        words: uint64 `[neurons]`; bit t: a spike in step t.
        sums: int32 `[neurons, steps]`; a, what the synapses deliver.
        ends: int64 `[neurons]`; v after the last step (of the last layer only).
        near: float64 `[neurons]`; see `nearness` (of the last layer only).
        words_new, ends_new, near_new, extra: the same with the change (extra is added to sums),
            where marked.
        past: int32 `[neurons, steps, 2]`; u and v before every step.
        since: int32 `[neurons]`; the first step that the change reaches.
        marked: uint8 `[neurons]`; reached by the change.
        touched: int32 `[neurons]`; the marked ones.
        size: int64 `[1]`; how many.
    """

    words: Array
    sums: Array
    ends: Array
    near: Array
    words_new: Array
    ends_new: Array
    near_new: Array
    extra: Array
    past: Array
    since: Array
    marked: Array
    touched: Array
    size: Array


def empty(net: Net) -> State:
    """No spike anywhere; `refresh` is due."""
    count = len(net.theta)
    words, ends = np.zeros(count, np.uint64), np.zeros(count, np.int64)
    sums = np.zeros((count, net.steps), np.int32)
    marked, touched = np.zeros(count, np.uint8), np.zeros(count, np.int32)
    size = np.zeros(1, np.int64)
    past, since = np.zeros((count, net.steps, 2), np.int32), np.zeros(count, np.int32)
    near = np.zeros(count)
    return State(
        words, sums, ends, near, words.copy(), ends.copy(), near.copy(), sums.copy(), past, since,
        marked, touched, size,
    )  # fmt: skip


def compiled(loop: Any) -> Any:
    """Without Python's lock, and kept on disk where that can be written."""
    return numba.njit(nogil=True, cache=True)(loop)


@compiled
def _step(net, neuron, u, v, a):
    """(u, v) after a step, v before its reset; a shift of a negative number rounds down."""
    u, v = u * net.keep[neuron, 0], v * net.keep[neuron, 1]
    u = ((u + ((u >> 63) & 4095)) >> 12) + (a << 6)
    if u > 8388608:
        u -= 16777216
    elif u <= -8388608:
        u += 16777216
    v = ((v + ((v >> 63) & 4095)) >> 12) + u + net.bias[neuron]
    return u, min(max(v, -8388607), 8388607)


@compiled
def fire(net, state, neuron, first):
    """A neuron with what is tried, from step `first` on: its spikes as a word, and its last v."""
    u, v = np.int64(state.past[neuron, first, 0]), np.int64(state.past[neuron, first, 1])
    word = state.words[neuron] & ((np.uint64(1) << np.uint64(first)) - np.uint64(1))
    theta = net.theta[neuron]
    for step in range(first, net.steps):
        a = np.int64(state.sums[neuron, step]) + np.int64(state.extra[neuron, step])
        u, v = _step(net, neuron, u, v, a)
        spike = v > theta
        word |= np.uint64(spike) << np.uint64(step)
        v = np.int64(0) if spike else v
    return word, v


@compiled
def nearness(net, state, neuron):
    """A smooth count of a neuron's spikes: each step gives 0 (v at 0) to 1 (v at 2 theta).

    Below 0 a step takes a little away, so that an inhibited neuron has a way up.
    """
    u, v, total = np.int64(0), np.int64(0), 0.0
    theta = net.theta[neuron]
    for step in range(net.steps):
        a = np.int64(state.sums[neuron, step]) + np.int64(state.extra[neuron, step])
        u, v = _step(net, neuron, u, v, a)
        part = v / (2.0 * max(theta, 64))
        total += min(part, 1.0) if part > 0 else TAIL * max(part, -4.0)
        v = np.int64(0) if v > theta else v
    return total


@compiled
def _remember(net, state, neuron, first):
    """Note u and v before every step from `first` on, as the sample now runs."""
    u, v = np.int64(state.past[neuron, first, 0]), np.int64(state.past[neuron, first, 1])
    for step in range(first, net.steps):
        state.past[neuron, step, 0], state.past[neuron, step, 1] = u, v
        u, v = _step(net, neuron, u, v, np.int64(state.sums[neuron, step]))
        v = np.int64(0) if v > net.theta[neuron] else v


@compiled
def _spread(net, state, source, before, after):
    """Add to `extra` what a source sends more or less; list whom it reaches."""
    differs = before ^ after
    first = 0
    while not (differs >> np.uint64(first)) & np.uint64(1):
        first += 1
    last = net.steps - 1
    while not (differs >> np.uint64(last)) & np.uint64(1):
        last -= 1
    for place in range(net.start[source], net.start[source + 1]):
        target, weight, late = net.target[place], net.weight[place], net.late[place]
        if first + late >= net.steps:
            continue
        if not state.marked[target]:
            state.marked[target] = 1
            state.touched[state.size[0]] = target
            state.since[target] = first + late
            state.size[0] += 1
        elif first + late < state.since[target]:
            state.since[target] = first + late
        for step in range(first, min(last + 1, net.steps - late)):
            if (differs >> np.uint64(step)) & np.uint64(1):
                if (after >> np.uint64(step)) & np.uint64(1):
                    state.extra[target, step + late] += weight
                else:
                    state.extra[target, step + late] -= weight


@compiled
def probe(net, state, places, words, count):
    """Try new words at `count` inputs (each at most once)."""
    state.size[0] = 0
    for i in range(count):
        state.marked[places[i]] = 1
        state.touched[i] = places[i]
        state.words_new[places[i]] = words[i]
    state.size[0] = count
    first = 0
    last_layer = net.edges[len(net.edges) - 2]
    for _ in range(len(net.edges) - 2):
        end = state.size[0]
        for i in range(first, end):
            source = state.touched[i]
            if state.words_new[source] != state.words[source]:
                _spread(net, state, source, state.words[source], state.words_new[source])
        first = end
        for i in range(first, state.size[0]):
            neuron = state.touched[i]
            word, v = fire(net, state, neuron, state.since[neuron])
            state.words_new[neuron] = word
            if neuron >= last_layer:
                state.ends_new[neuron] = v
                if net.by_count:
                    state.near_new[neuron] = nearness(net, state, neuron)


@compiled
def settle(net, state, made):
    """Make the change that was tried, or forget it."""
    inputs = net.edges[1]
    for i in range(state.size[0]):
        neuron = state.touched[i]
        if made:
            state.words[neuron] = state.words_new[neuron]
            state.ends[neuron] = state.ends_new[neuron]
            state.near[neuron] = state.near_new[neuron]
        if neuron >= inputs:
            for step in range(net.steps):
                if made:
                    state.sums[neuron, step] += state.extra[neuron, step]
                state.extra[neuron, step] = 0
            if made:
                _remember(net, state, neuron, state.since[neuron])
        state.marked[neuron] = 0
    state.size[0] = 0


@compiled
def refresh(net, state, inputs):
    """Run a sample from its input words on."""
    state.words[:] = np.uint64(0)
    state.sums[:] = 0
    state.extra[:] = 0
    state.marked[:] = 0
    state.size[0] = 0
    last_layer = net.edges[len(net.edges) - 2]
    state.words[: net.edges[1]] = inputs
    for layer in range(len(net.edges) - 1):
        for neuron in range(net.edges[layer], net.edges[layer + 1]):
            if layer:
                word, v = fire(net, state, neuron, 0)
                _remember(net, state, neuron, 0)
                state.words[neuron] = word
                if neuron >= last_layer:
                    state.ends[neuron] = v
                    if net.by_count:
                        state.near[neuron] = nearness(net, state, neuron)
            word = state.words[neuron]
            for step in range(net.steps):
                if (word >> np.uint64(step)) & np.uint64(1):
                    for place in range(net.start[neuron], net.start[neuron + 1]):
                        arrives = step + net.late[place]
                        if arrives < net.steps:
                            state.sums[net.target[place], arrives] += net.weight[place]


@compiled
def _bits(word):
    count = 0
    while word:
        word &= word - np.uint64(1)
        count += 1
    return count


@compiled
def answer(net, state, whole, soft):
    """Fill the integers that are read, and a finer score of the size of a spike count."""
    first = net.edges[len(net.edges) - 2]
    for neuron in range(first, len(net.theta)):
        marked = state.marked[neuron]
        if net.by_count:
            whole[neuron - first] = _bits(
                state.words_new[neuron] if marked else state.words[neuron]
            )
            if net.by_count == ENDS:
                v = state.ends_new[neuron] if marked else state.ends[neuron]
                part = min(max(v / max(net.theta[neuron], 64), -1.0), 1.0)
            else:
                part = state.near_new[neuron] if marked else state.near[neuron]
            soft[neuron - first] = whole[neuron - first] + part
        else:
            whole[neuron - first] = state.ends_new[neuron] if marked else state.ends[neuron]
            soft[neuron - first] = whole[neuron - first] / net.scale


@compiled
def standing(net, state, label, target, whole, soft):
    """(broken, energy): the energy falls as a wrong class (that one, or any for -1) comes nearer.

    Ties go to the lower class, as the readout's do.
    """
    answer(net, state, whole, soft)
    broken, energy = False, np.inf
    for other in range(len(whole)):
        if other == label:
            continue
        later = other > label
        broken = broken or whole[label] - whole[other] + later <= 0
        if target < 0 or other == target:
            ahead = soft[label] - soft[other] + (later if net.by_count else 0)
            energy = min(energy, ahead)
    return broken, energy
