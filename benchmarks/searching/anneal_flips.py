"""Simulated annealing over sets of flips, with exact answers.

Walks on one sample (`delta_loops.State`), keeps the best point it saw, and stops at the first one
that is broken. The temperature falls from `hot` to `cold` by a constant factor a move; a move that
raises the energy by d is made with probability exp(-d / temperature).
"""

from __future__ import annotations

import numpy as np

from searching.delta_loops import compiled, probe, settle, standing
from searching.draws import below, drawn, start, uniform

NEAR = 2  # pixels and steps by which a flip wanders


@compiled
def _near(site, shape, steps):
    """A site (input * steps + step) a little way off, in space, time or channel."""
    height, width = shape[1], shape[2]
    step, pixel = site % steps, site // steps
    column, row = pixel % width, pixel // width % height
    channel = pixel // (width * height)
    if uniform() < 0.2:
        channel = below(shape[0])
    if uniform() < 0.6:
        step = min(max(step + below(2 * NEAR + 1) - NEAR, 0), steps - 1)
    if uniform() < 0.6:
        row = min(max(row + below(2 * NEAR + 1) - NEAR, 0), height - 1)
        column = min(max(column + below(2 * NEAR + 1) - NEAR, 0), width - 1)
    return ((channel * height + row) * width + column) * steps + step


@compiled
def _toggle(state, places, words, count, site, steps):
    """Put one more flip into the change that is being made; the places it has now."""
    pixel = site // steps
    bit = np.uint64(1) << np.uint64(site % steps)
    for i in range(count):
        if places[i] == pixel:
            words[i] ^= bit
            return count
    places[count], words[count] = pixel, state.words[pixel] ^ bit
    return count + 1


@compiled
def anneal_flips(
    net, state, label, target, shape, sites, pool, cumulative, moves, hot, cold, seed, best
):
    """Exchange one flip for another, `moves` times.

    Args:
        net: the network.
        state: refreshed with the flips `sites` made; it ends with those it ends with.
        label: the true class.
        target: the wrong class to come near to; -1: any.
        shape: C, H, W of the inputs.
        sites: int64 `[budget]`, input * steps + step, or -1 for a flip not yet used; overwritten.
        pool: int64, sites that promise something.
        cumulative: of their weights.
        moves: how many.
        hot: first temperature.
        cold: last one.
        seed: of the moves.
        best: int64 `[budget]`; becomes the best sites.

    Returns:
        (broken, the best energy).
    """
    start(seed)
    outputs = len(net.theta) - net.edges[len(net.edges) - 2]
    whole, soft = np.zeros(outputs, np.int64), np.zeros(outputs)
    places, words = np.zeros(4, np.int64), np.zeros(4, np.uint64)
    steps, inputs = net.steps, net.edges[1]
    broken, energy = standing(net, state, label, target, whole, soft)
    lowest = energy
    best[:] = sites
    temperature, factor = hot, (cold / hot) ** (1.0 / max(1, moves))
    for _ in range(moves):
        if broken:
            break
        temperature *= factor
        slot = below(len(sites))
        old = sites[slot]
        kind = uniform()
        if kind < 0.45:
            new = pool[drawn(cumulative)]
        elif kind < 0.85:
            other = sites[below(len(sites))] if kind < 0.6 else old
            new = _near(other, shape, steps) if other >= 0 else pool[drawn(cumulative)]
        else:
            new = below(inputs * steps)
        taken = False
        for site in sites:
            taken = taken or site == new
        if taken:
            continue
        count = 0
        if old >= 0:
            count = _toggle(state, places, words, count, old, steps)
        count = _toggle(state, places, words, count, new, steps)
        probe(net, state, places, words, count)
        broken, found = standing(net, state, label, target, whole, soft)
        rise = found - energy
        made = broken or rise <= 0 or uniform() < np.exp(-rise / temperature)
        settle(net, state, made)
        if made:
            sites[slot], energy = new, found
            if broken or energy < lowest:
                lowest = energy
                best[:] = sites
    return broken, lowest


@compiled
def effects(net, state, label, target, sites, found):
    """Fill `found` with the energy of one more flip at each site; the place that breaks, or -1."""
    outputs = len(net.theta) - net.edges[len(net.edges) - 2]
    whole, soft = np.zeros(outputs, np.int64), np.zeros(outputs)
    places, words = np.zeros(1, np.int64), np.zeros(1, np.uint64)
    for i in range(len(sites)):
        _toggle(state, places, words, 0, sites[i], net.steps)
        probe(net, state, places, words, 1)
        broken, found[i] = standing(net, state, label, target, whole, soft)
        settle(net, state, False)
        if broken:
            return i
    return -1
