"""Simulated annealing with exact answers: over sets of flips, and over the choices of each pixel.

Both walk on one sample (`delta_loops.State`), keep the best point they saw, and stop at the first
one that is broken. The temperature falls from `hot` to `cold` by a constant factor a move; a move
that raises the energy by d is made with probability exp(-d / temperature).
"""

from __future__ import annotations

import numpy as np

from searching.delta_loops import compiled, probe, settle, standing

NEAR = 2  # pixels and steps by which a flip wanders
BLOCK = 6  # pixels a move changes at most


@compiled
def _start(seed):  # type: ignore[no-untyped-def]
    """Compiled loops have numpy's older generator only, one a thread."""
    np.random.seed(seed)  # noqa: NPY002


@compiled
def _uniform():  # type: ignore[no-untyped-def]
    """A number in [0, 1)."""
    return np.random.random()  # noqa: NPY002


@compiled
def _below(count):  # type: ignore[no-untyped-def]
    """0 to count - 1."""
    return np.random.randint(count)  # noqa: NPY002


@compiled
def _drawn(cumulative):  # type: ignore[no-untyped-def]
    """A place by its weight."""
    at = np.searchsorted(cumulative, _uniform() * cumulative[-1], side="right")
    return min(at, len(cumulative) - 1)


@compiled
def _near(site, shape, steps):  # type: ignore[no-untyped-def]
    """A site (input * steps + step) a little way off, in space, time or channel."""
    height, width = shape[1], shape[2]
    step, pixel = site % steps, site // steps
    column, row = pixel % width, pixel // width % height
    channel = pixel // (width * height)
    if _uniform() < 0.2:
        channel = _below(shape[0])
    if _uniform() < 0.6:
        step = min(max(step + _below(2 * NEAR + 1) - NEAR, 0), steps - 1)
    if _uniform() < 0.6:
        row = min(max(row + _below(2 * NEAR + 1) - NEAR, 0), height - 1)
        column = min(max(column + _below(2 * NEAR + 1) - NEAR, 0), width - 1)
    return ((channel * height + row) * width + column) * steps + step


@compiled
def _toggle(state, places, words, count, site, steps):  # type: ignore[no-untyped-def]
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
def anneal_flips(  # type: ignore[no-untyped-def]
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
    _start(seed)
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
        slot = _below(len(sites))
        old = sites[slot]
        kind = _uniform()
        if kind < 0.45:
            new = pool[_drawn(cumulative)]
        elif kind < 0.85:
            other = sites[_below(len(sites))] if kind < 0.6 else old
            new = _near(other, shape, steps) if other >= 0 else pool[_drawn(cumulative)]
        else:
            new = _below(inputs * steps)
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
        made = broken or rise <= 0 or _uniform() < np.exp(-rise / temperature)
        settle(net, state, made)
        if made:
            sites[slot], energy = new, found
            if broken or energy < lowest:
                lowest = energy
                best[:] = sites
    return broken, lowest


@compiled
def effects(net, state, label, target, sites, found):  # type: ignore[no-untyped-def]
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


@compiled
def _other(first, last, now, lean):  # type: ignore[no-untyped-def]
    """Another of the choices first .. last - 1: often the one leant to, often an end."""
    kind = _uniform()
    if kind < 0.35 and lean != now:
        return lean
    if kind < 0.65:
        new = first if _uniform() < 0.5 else last - 1
        if new != now:
            return new
        return first if new == last - 1 else last - 1
    new = first + _below(last - first - 1)
    return new + 1 if new >= now else new


@compiled
def anneal_choices(  # type: ignore[no-untyped-def]
    net, state, label, target, shape, starts, choices, now, free, cumulative, lean,
    moves, hot, cold, seed, best,
):  # fmt: skip
    """Change one pixel, or a few near or far, to other choices, `moves` times.

    Args:
        net: the network.
        state: refreshed with the choices `now`; it ends with those it ends with.
        label: the true class.
        target: the wrong class to come near to; -1: any.
        shape: C, H, W of the inputs.
        starts: int64 `[inputs + 1]`; input n has the choices `starts[n]` to `starts[n + 1]`.
        choices: uint64; the input's spikes, from the darkest to the brightest.
        now: int64 `[inputs]`; the choice of each input, overwritten.
        free: int64; inputs with more than one choice.
        cumulative: of their weights.
        lean: int64 `[inputs]`; the choice that gradients point to.
        moves: how many.
        hot: first temperature.
        cold: last one.
        seed: of the moves.
        best: int64 `[inputs]`; becomes the best choices.

    Returns:
        (broken, the best energy).
    """
    _start(seed)
    outputs = len(net.theta) - net.edges[len(net.edges) - 2]
    whole, soft = np.zeros(outputs, np.int64), np.zeros(outputs)
    places, words = np.zeros(BLOCK, np.int64), np.zeros(BLOCK, np.uint64)
    picked = np.zeros(BLOCK, np.int64)
    height, width = shape[1], shape[2]
    broken, energy = standing(net, state, label, target, whole, soft)
    lowest = energy
    best[:] = now
    temperature, factor = hot, (cold / hot) ** (1.0 / max(1, moves))
    for _ in range(moves):
        if broken:
            break
        temperature *= factor
        kind = _uniform()
        wanted = 1 if kind < 0.5 else 2 + _below(BLOCK - 1)
        together = kind > 0.75  # a patch that is turned one way
        bright = _uniform() < 0.5
        pixel = free[_drawn(cumulative)]
        count = 0
        for _ in range(wanted):
            place = pixel
            if count and together:
                row = pixel // width % height + _below(3) - 1
                column = pixel % width + _below(3) - 1
                if not (0 <= row < height and 0 <= column < width):
                    continue
                place = (pixel // (width * height) * height + row) * width + column
            elif count:
                place = free[_drawn(cumulative)]
            first, last = starts[place], starts[place + 1]
            repeated = last - first < 2
            for i in range(count):
                repeated = repeated or places[i] == place
            if repeated:
                continue
            new = (
                (last - 1 if bright else first)
                if together
                else _other(first, last, now[place], lean[place])
            )
            if new != now[place]:
                places[count], words[count], picked[count] = place, choices[new], new
                count += 1
        if count == 0:
            continue
        probe(net, state, places, words, count)
        broken, found = standing(net, state, label, target, whole, soft)
        rise = found - energy
        made = broken or rise <= 0 or _uniform() < np.exp(-rise / temperature)
        settle(net, state, made)
        if made:
            energy = found
            for i in range(count):
                now[places[i]] = picked[i]
            if broken or energy < lowest:
                lowest = energy
                best[:] = now
    return broken, lowest
