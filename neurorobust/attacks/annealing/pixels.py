"""Annealing between the choices of each pixel.

A pixel acts on the network by the spike train that its input neuron makes of it. Inside a ball
there are few different ones: its *choices*, from the darkest to the brightest.
"""

from __future__ import annotations

import numpy as np

from neurorobust.attacks.annealing.energy import standing
from neurorobust.attacks.annealing.random import below, drawn, uniform
from neurorobust.backends.engine.incremental.loops import Sample, probe, settle
from neurorobust.backends.engine.incremental.network import Blocks
from neurorobust.backends.engine.loops import Array, compiled

MOST = 9  # pixels of one move
ALONE, SEVERAL = 0.55, 0.8  # moves of one pixel; up to here of several anywhere; else of a patch
TO_AN_END = 0.6  # of the new choices the darkest or the brightest


@compiled
def _another(random: Array, first: int, end: int, now: int) -> int:
    """One of the choices first .. end - 1 that is not `now`."""
    if uniform(random) < TO_AN_END:
        new = first if uniform(random) < 0.5 else end - 1
        if new == now:
            new = end - 1 if new == first else first
        return new
    new = first + below(random, end - first - 1)
    return new + 1 if new >= now else new


@compiled
def _add(
    places: Array, words: Array, picked: Array, count: int, place: int, new: int, choices: Array,
) -> int:  # fmt: skip
    """One more pixel of a move, unless it is there already; how many there are then."""
    for i in range(count):
        if places[i] == place:
            return count
    places[count], words[count], picked[count] = place, choices[new], new
    return count + 1


@compiled
def anneal_pixels(
    net: Blocks, sample: Sample, label: int, target: int, weights: Array, by_count: bool,
    width: int, height: int, starts: Array, choices: Array, now: Array, free: Array,
    cumulative: Array, moves: int, hot: float, cold: float, random: Array, best: Array,
) -> tuple[bool, float, int]:  # fmt: skip
    """Change a pixel, several, or a patch of them, `moves` times; stop where the sample is broken.

    A change that raises the energy by d is made with probability exp(-d / temperature).

    Args:
        net: the network.
        sample: refreshed with the choices `now`.
        label: see `energy.standing`.
        target: see there.
        weights: see there.
        by_count: see there.
        width: of an image.
        height: of an image.
        starts: int64 `[inputs + 1]`; input n has the choices `starts[n]` to `starts[n + 1]`.
        choices: uint64, the spikes of each.
        now: int64 `[inputs]`, the choice of each; overwritten.
        free: int64, inputs with more than one choice.
        cumulative: float64, sum of their weights up to each.
        moves: how many.
        hot: first temperature, in spikes.
        cold: last one.
        random: state of the random numbers.
        best: int64 `[inputs]`; becomes the choices with the lowest energy.

    Returns:
        broken, the lowest energy, the moves made.
    """
    places, words = np.zeros(MOST, np.int64), np.zeros(MOST, np.uint64)
    picked = np.zeros(MOST, np.int64)
    broken, energy = standing(sample.now, label, target, weights, by_count)
    lowest, temperature = energy, hot
    factor = (cold / hot) ** (1.0 / max(1, moves))
    best[:] = now
    done = 0
    while done < moves and not broken:
        done += 1
        temperature *= factor
        kind, count = uniform(random), 0
        pixel = free[drawn(random, cumulative)]
        if kind < SEVERAL:
            many = 1 if kind < ALONE else 2 + below(random, 3)
            for _ in range(many):
                first, end = starts[pixel], starts[pixel + 1]
                new = _another(random, first, end, now[pixel])
                count = _add(places, words, picked, count, pixel, new, choices)
                pixel = free[drawn(random, cumulative)]
        else:
            bright, area = uniform(random) < 0.5, width * height
            row, column = pixel % area // width, pixel % width
            for y in range(max(row - 1, 0), min(row + 2, height)):
                for x in range(max(column - 1, 0), min(column + 2, width)):
                    place = pixel // area * area + y * width + x
                    first, end = starts[place], starts[place + 1]
                    new = end - 1 if bright else first
                    near = (y == row and x == column) or uniform(random) < 0.5
                    if end - first > 1 and new != now[place] and near:
                        count = _add(places, words, picked, count, place, new, choices)
        if count == 0:
            continue
        probe(net, sample, places, words, count)
        wrong, found = standing(sample.then, label, target, weights, by_count)
        rise = found - energy
        keep = wrong or rise <= 0 or uniform(random) < np.exp(-rise / temperature)
        settle(net, sample, keep)
        if keep:
            broken, energy = wrong, found
            for i in range(count):
                now[places[i]] = picked[i]
            if broken or energy < lowest:
                lowest = energy
                best[:] = now
    return broken, lowest, done


@compiled
def descend_pixels(
    net: Blocks, sample: Sample, label: int, target: int, weights: Array, by_count: bool,
    starts: Array, choices: Array, now: Array, free: Array, random: Array,
) -> tuple[bool, float]:  # fmt: skip
    """Give pixels their best choices, in random order, until none helps: broken, and the energy."""
    place, word = np.zeros(1, np.int64), np.zeros(1, np.uint64)
    broken, energy = standing(sample.now, label, target, weights, by_count)
    quiet = 0
    while quiet < len(free) and not broken:
        pixel = free[below(random, len(free))]
        quiet += 1
        place[0] = pixel
        for new in range(starts[pixel], starts[pixel + 1]):
            if new == now[pixel]:
                continue
            word[0] = choices[new]
            probe(net, sample, place, word, 1)
            wrong, found = standing(sample.then, label, target, weights, by_count)
            keep = wrong or found < energy
            settle(net, sample, keep)
            if keep:
                broken, energy, now[pixel], quiet = wrong, found, new, 0
                if broken:
                    break
    return broken, energy
