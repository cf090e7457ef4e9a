"""Annealing of the flips of a spike budget."""

from __future__ import annotations

import numpy as np

from neurorobust.attacks.annealing.energy import standing
from neurorobust.attacks.annealing.random import below, drawn, uniform
from neurorobust.backends.engine.incremental.loops import Sample, probe, settle
from neurorobust.backends.engine.incremental.network import Blocks
from neurorobust.backends.engine.loops import Array, compiled

NONE = -1  # a flip that is not made
FROM_POOL, NEAR_BY = 0.3, 0.9  # a flip goes to one of the pool; up to here near another; anywhere
FEW = 12  # candidates that are asked before one flip is made
SIDEWAYS, LATER = 2, 2  # how far a near flip is at most, in pixels and steps


@compiled
def _toggle(sample: Sample, places: Array, words: Array, count: int, entry: int, steps: int) -> int:
    """Flip one entry in what is tried, which is of `count` inputs so far."""
    place, bit = entry // steps, np.uint64(1) << np.uint64(entry % steps)
    for i in range(count):
        if places[i] == place:
            words[i] ^= bit
            return count
    places[count], words[count] = place, sample.words[place] ^ bit
    return count + 1


@compiled
def _near(random: Array, entry: int, width: int, height: int, steps: int) -> int:
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
def single_effects(
    net: Blocks, sample: Sample, label: int, target: int, weights: Array, by_count: bool,
    entries: Array, into: Array,
) -> int:  # fmt: skip
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
def _candidate(
    random: Array, flips: Array, old: int, pool: Array, cumulative: Array, width: int, height: int,
    steps: int, entries: int,
) -> int:  # fmt: skip
    """An entry to flip: of the pool, near another flip or near `old`, or anywhere; -1: none."""
    kind = uniform(random)
    if kind < FROM_POOL:
        return int(pool[drawn(random, cumulative)])
    if kind < NEAR_BY:
        near = old
        if kind < 0.5 * (FROM_POOL + NEAR_BY):
            near = flips[below(random, len(flips))]
        if near < 0:
            return int(pool[drawn(random, cumulative)])
        return _near(random, near, width, height, steps)
    return below(random, entries)


@compiled
def anneal_flips(
    net: Blocks, sample: Sample, label: int, target: int, weights: Array, by_count: bool,
    width: int, height: int, spikes: Array, allowed: Array, sides: Array, flips: Array,
    pool: Array, cumulative: Array, moves: int, hot: float, cold: float, random: Array,
    best: Array,
) -> tuple[bool, float, int]:  # fmt: skip
    """Take one flip back and make another, `moves` questions long; stop where it is broken.

    What takes its place is drawn from `FEW` candidates and from the flip itself, each with
    probability proportional to exp(-energy / temperature) (heat bath).

    Args:
        net: the network.
        sample: refreshed with the flips made.
        label: see `energy.standing`.
        target: see there.
        weights: see there.
        by_count: see there.
        width: of the sensor.
        height: of the sensor.
        spikes: bool `[entries]`, of the untouched sample.
        allowed: bool `[entries]`, what may flip.
        sides: int64 `[2]`, insertions and deletions at most.
        flips: int64 `[budget]`, entries or `NONE`; overwritten.
        pool: int64, entries that promise something.
        cumulative: float64, sum of their weights up to each.
        moves: questions.
        hot: first temperature, in spikes.
        cold: last one.
        random: state of the random numbers.
        best: int64 `[budget]`; becomes the flips with the lowest energy.

    Returns:
        broken, the lowest energy, the questions asked.
    """
    places, words = np.zeros(4, np.int64), np.zeros(4, np.uint64)
    used, steps, entries = np.zeros(2, np.int64), net.steps, len(spikes)
    asked, energies = np.zeros(FEW + 1, np.int64), np.zeros(FEW + 1)
    for entry in flips:
        if entry >= 0:
            used[int(spikes[entry])] += 1
    broken, energy = standing(sample.now, label, target, weights, by_count)
    lowest = energy
    best[:] = flips
    done = 0
    while done < moves and not broken:
        temperature = hot * (cold / hot) ** (done / moves)
        slot = below(random, len(flips))
        old = flips[slot]
        if old >= 0:
            probe(net, sample, places, words, _toggle(sample, places, words, 0, old, steps))
            wrong, found = standing(sample.then, label, target, weights, by_count)
            settle(net, sample, True)
            used[int(spikes[old])] -= 1
            flips[slot] = NONE
            done += 1
            if wrong:
                broken, lowest = True, found
                best[:] = flips
                break
        asked[0], energies[0], count = old, energy, 1
        for _ in range(FEW):
            done += 1
            new = _candidate(random, flips, old, pool, cumulative, width, height, steps, entries)
            if new < 0 or not allowed[new] or used[int(spikes[new])] >= sides[int(spikes[new])]:
                continue
            taken = False
            for entry in flips:
                taken = taken or entry == new
            for i in range(count):
                taken = taken or asked[i] == new
            if taken:
                continue
            probe(net, sample, places, words, _toggle(sample, places, words, 0, new, steps))
            wrong, found = standing(sample.then, label, target, weights, by_count)
            settle(net, sample, wrong)
            asked[count], energies[count] = new, found
            count += 1
            if wrong:
                flips[slot], broken, lowest = new, True, found
                best[:] = flips
                break
        if broken:
            break
        chosen = _boltzmann(random, energies, count, temperature)
        if asked[chosen] >= 0:
            entry = asked[chosen]
            probe(net, sample, places, words, _toggle(sample, places, words, 0, entry, steps))
            settle(net, sample, True)
            used[int(spikes[entry])] += 1
            flips[slot] = entry
        energy = energies[chosen]
        if energy < lowest:
            lowest = energy
            best[:] = flips
    return broken, lowest, done


@compiled
def _boltzmann(random: Array, energies: Array, count: int, temperature: float) -> int:
    """One of `count` places, with probability proportional to exp(-energy / temperature)."""
    least, total = np.inf, 0.0
    for i in range(count):
        least = min(least, energies[i])
    for i in range(count):
        total += np.exp((least - energies[i]) / temperature)
    mark = uniform(random) * total
    for i in range(count):
        mark -= np.exp((least - energies[i]) / temperature)
        if mark < 0:
            return i
    return count - 1
