"""Annealing of the flips of a spike budget."""

from __future__ import annotations

import numpy as np

from neurorobust.attacks.annealing.energy import standing
from neurorobust.attacks.annealing.random import below, drawn, uniform
from neurorobust.backends.engine.incremental.loops import probe, settle
from neurorobust.backends.engine.loops import compiled

NONE = -1  # a flip that is not made
FROM_POOL, NEAR_BY = 0.45, 0.9  # a flip goes to one of the pool; up to here near another; anywhere
SIDEWAYS, LATER = 2, 2  # how far a near flip is at most, in pixels and steps


@compiled
def _toggle(sample, places, words, count, entry, steps):  # type: ignore[no-untyped-def]
    """Flip one entry in what is tried, which is of `count` inputs so far."""
    place, bit = entry // steps, np.uint64(1) << np.uint64(entry % steps)
    for i in range(count):
        if places[i] == place:
            words[i] ^= bit
            return count
    places[count], words[count] = place, sample.words[place] ^ bit
    return count + 1


@compiled
def _near(random, entry, width, height, steps):  # type: ignore[no-untyped-def]
    """An entry of the same channel near by, or of the same place; -1 outside the sensor."""
    step, place = entry % steps, entry // steps
    area = width * height
    row, column = place % area // width, place % width
    step += below(random, 2 * LATER + 1) - LATER
    if uniform(random) < 0.6:
        row += below(random, 2 * SIDEWAYS + 1) - SIDEWAYS
        column += below(random, 2 * SIDEWAYS + 1) - SIDEWAYS
    if not (0 <= step < steps and 0 <= row < height and 0 <= column < width):
        return NONE
    return (place // area * area + row * width + column) * steps + step


@compiled
def single_effects(  # type: ignore[no-untyped-def]
    net, sample, label, target, weights, by_count, entries, into
):
    """Fill `into` with the energy of one more flip at each entry; the place that breaks, or -1."""
    places, words = np.zeros(1, np.int64), np.zeros(1, np.uint64)
    for i in range(len(entries)):
        _toggle(sample, places, words, 0, entries[i], net.steps)
        probe(net, sample, places, words, 1)
        broken, into[i] = standing(sample.then, label, target, weights, by_count)
        settle(net, sample, False)
        if broken:
            return i
    return NONE


@compiled
def anneal_flips(  # type: ignore[no-untyped-def]
    net, sample, label, target, weights, by_count, width, height, spikes, allowed, sides, flips,
    pool, cumulative, moves, hot, cold, random, best,
):  # fmt: skip
    """Move one flip elsewhere `moves` times; stop where the sample is broken.

    A move that raises the energy by d is made with probability exp(-d / temperature).

    Args:
        net: the network.
        sample: refreshed with the flips made.
        label, target, weights, by_count: see `energy.standing`.
        width, height: of the sensor.
        spikes: bool `[entries]`, of the untouched sample.
        allowed: bool `[entries]`, what may flip.
        sides: int64 `[2]`, insertions and deletions at most.
        flips: int64 `[budget]`, entries or `NONE`; overwritten.
        pool: int64, entries that promise something.
        cumulative: float64, sum of their weights up to each.
        moves: how many.
        hot, cold: first and last temperature, in spikes.
        random: state of the random numbers.
        best: int64 `[budget]`; becomes the flips with the lowest energy.

    Returns:
        broken, the lowest energy, the moves made.
    """
    places, words = np.zeros(4, np.int64), np.zeros(4, np.uint64)
    used, steps, entries = np.zeros(2, np.int64), net.steps, len(spikes)
    for entry in flips:
        if entry >= 0:
            used[int(spikes[entry])] += 1
    broken, energy = standing(sample.now, label, target, weights, by_count)
    lowest, temperature = energy, hot
    factor = (cold / hot) ** (1.0 / max(1, moves))
    best[:] = flips
    done = 0
    while done < moves and not broken:
        done += 1
        temperature *= factor
        slot, kind = below(random, len(flips)), uniform(random)
        old = flips[slot]
        if kind < FROM_POOL:
            new = pool[drawn(random, cumulative)]
        elif kind < NEAR_BY:
            near = flips[below(random, len(flips))] if kind < 0.5 * (FROM_POOL + NEAR_BY) else old
            new = pool[drawn(random, cumulative)]
            if near >= 0:
                new = _near(random, near, width, height, steps)
        else:
            new = below(random, entries)
        if new < 0 or not allowed[new]:
            continue
        taken = False
        for entry in flips:
            taken = taken or entry == new
        if taken:
            continue
        side = int(spikes[new])
        room = sides[side] - used[side]
        if old >= 0 and int(spikes[old]) == side:
            room += 1
        if room <= 0:
            continue
        count = _toggle(sample, places, words, 0, new, steps)
        if old >= 0:
            count = _toggle(sample, places, words, count, old, steps)
        probe(net, sample, places, words, count)
        wrong, found = standing(sample.then, label, target, weights, by_count)
        rise = found - energy
        keep = wrong or rise <= 0 or uniform(random) < np.exp(-rise / temperature)
        settle(net, sample, keep)
        if keep:
            broken, energy, flips[slot] = wrong, found, new
            used[side] += 1
            if old >= 0:
                used[int(spikes[old])] -= 1
            if broken or energy < lowest:
                lowest = energy
                best[:] = flips
    return broken, lowest, done
