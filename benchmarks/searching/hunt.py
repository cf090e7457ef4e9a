"""One case from its samples to what was broken."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neurorobust.backends.engine import EngineBackend
from neurorobust.budgets import Budget, ImageBudget, SpikeBudget
from neurorobust.classifier import Classifier, Network
from neurorobust.errors import BadInput, CheckFailed
from searching import delta_network, events, images
from searching.ascent import Climber
from searching.delta_loops import empty
from searching.rounds import Search, search

ASCENTS = 0.3  # of the time, at most, for gradients of images before the annealing


@dataclass(frozen=True)
class Effort:
    """What may be spent on a case.

    Attributes:
        minutes: of search, of processor time a thread: what else runs takes nothing away.
        rounds: turns of every sample at most; None: as many as there is time for.
        threads: turns at a time.
        seed: of everything random.
    """

    minutes: float
    rounds: int | None
    threads: int
    seed: int

    @property
    def seconds(self) -> float:
        """Processor time of all threads together."""
        return 60 * self.minutes * self.threads


def hunt(
    network: Network,
    x: Tensor,
    labels: Tensor,
    budget: Budget,
    effort: Effort,
) -> tuple[Tensor, list[int], int, int]:
    """Search all samples together.

    Args:
        network: feed-forward, fed drive or direct spikes.
        x: samples that stand, images `[batch, C, H, W]` or spikes `[batch, C, H, W, T]`.
        labels: their classes.
        budget: L-infinity, or a number of flips.
        effort: what may be spent.

    Returns:
        the best points (x's shape), places of those that are broken, turns, moves of annealing.

    Raises:
        BadInput: a budget, network or encoder that the search does not take.
        CheckFailed: the search computes other answers than the engine.
    """
    begun = time.process_time()
    end = begun + effort.seconds
    classifier = network.classifier(EngineBackend(network.model))
    net = delta_network.build(network.model, network.card.steps, network.card.readout)
    encoder = network.card.encoder.kind
    searches: Sequence[Search]
    between: Callable[[int], None]
    if isinstance(budget, SpikeBudget) and budget == SpikeBudget(budget.flips) and budget.flips:
        if encoder != "direct":
            raise BadInput(f"encoder {encoder}: flips are searched on direct spikes only")
        agree(net, classifier, x, x.numpy())
        flips = events.begin(net, classifier, x, labels, budget.flips, effort.seed)
        searches, between = flips, lambda number: events.renew(flips, classifier, number)
    elif isinstance(budget, ImageBudget) and budget.norm == "linf":
        if encoder != "drive":
            raise BadInput(f"encoder {encoder}: pixels are searched behind drive only")
        agree(net, classifier, x, images.input_spikes(classifier, x))
        pixels = images.begin(net, classifier, x, labels, budget.epsilon, effort.seed)
        share = begun + ASCENTS * effort.seconds
        climber = Climber(pixels, empty(net), classifier, x, labels, budget.epsilon)
        searches = pixels
        between = lambda number: climber.climb(number, end if number else share)  # noqa: E731
    else:
        raise BadInput(
            f"budget {budget}: the search takes L-infinity of pixels, or 1 or more flips"
        )

    def told(number: int) -> None:
        left = sum(not each.broken for each in searches)
        print(f"  turn {number}: {len(searches) - left} broken, {left} stand", flush=True)

    turns = search(net, searches, between, end, effort.rounds, effort.threads, told)
    found = torch.stack([each.point() for each in searches]).view_as(x) if len(x) else x
    broken = [row for row, each in enumerate(searches) if each.broken]
    return found, broken, turns, sum(each.moves for each in searches)


def agree(
    net: delta_network.Net, classifier: Classifier, x: Tensor, spikes: delta_network.Array
) -> None:
    """Hold the search's own integers to the engine's, on every clean sample.

    Args:
        net: of the same network as the classifier.
        classifier: on the engine.
        x: samples.
        spikes: what the first synapse sees of them, uint8 `[batch, ..., steps]`.

    Raises:
        CheckFailed: they differ.
    """
    wanted = classifier.readout.integers(classifier.run(x)).numpy()
    state = empty(net)
    for row in range(len(x)):
        words = events.words(spikes[row].reshape(int(net.edges[1]), net.steps))
        if not np.array_equal(events.integers(net, state, words), wanted[row]):
            raise CheckFailed(f"sample {row}: the search computes other answers than the engine")
