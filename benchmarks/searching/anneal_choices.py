"""Simulated annealing over the choices of each pixel, with exact answers.

Walks on one sample (`delta_loops.State`), keeps the best point it saw, and stops at the first one
that is broken. The temperature falls from `hot` to `cold` by a constant factor a move; a move that
raises the energy by d is made with probability exp(-d / temperature).
"""

from __future__ import annotations

import numpy as np

from searching.delta_loops import compiled, probe, settle, standing
from searching.draws import below, drawn, start, uniform

BLOCK = 6  # pixels a move changes at most


@compiled
def _other(first, last, now, lean):
    """Another of the choices first .. last - 1: often the one leant to, often an end."""
    kind = uniform()
    if kind < 0.35 and lean != now:
        return lean
    if kind < 0.65:
        new = first if uniform() < 0.5 else last - 1
        if new != now:
            return new
        return first if new == last - 1 else last - 1
    new = first + below(last - first - 1)
    return new + 1 if new >= now else new


@compiled
def anneal_choices(
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
    start(seed)
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
        kind = uniform()
        wanted = 1 if kind < 0.5 else 2 + below(BLOCK - 1)
        together = kind > 0.75  # a patch that is turned one way
        bright = uniform() < 0.5
        pixel = free[drawn(cumulative)]
        count = 0
        for _ in range(wanted):
            place = pixel
            if count and together:
                row = pixel // width % height + below(3) - 1
                column = pixel % width + below(3) - 1
                if not (0 <= row < height and 0 <= column < width):
                    continue
                place = (pixel // (width * height) * height + row) * width + column
            elif count:
                place = free[drawn(cumulative)]
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
        made = broken or rise <= 0 or uniform() < np.exp(-rise / temperature)
        settle(net, state, made)
        if made:
            energy = found
            for i in range(count):
                now[places[i]] = picked[i]
            if broken or energy < lowest:
                lowest = energy
                best[:] = now
    return broken, lowest
