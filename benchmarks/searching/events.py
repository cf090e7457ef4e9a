"""The search over flips: exact effects of promising sites, greedy, then annealing with restarts."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from neurorobust.classifier import Classifier
from searching import annealing
from searching.delta_loops import State, answer, refresh, standing
from searching.delta_network import Array, Net, finer
from searching.surrogates import SURROGATES, gradient

POOL = 2000  # sites that are tried one by one at the clean sample
GREEDY = 300  # of them, those that each greedy step tries
MOVES = 12_000  # of a first annealing; later ones are longer
HOT, COLD = 0.5, 0.03  # spikes


@dataclass
class FlipSearch:
    """One sample.

    Attributes:
        net: the network.
        spikes: uint8 `[C, H, W, T]`.
        label: its class.
        budget: flips at most.
        promise: float64 `[entries]`; by the averaged gradients.
        rng: of its own.
    """

    net: Net
    spikes: Tensor
    label: int
    budget: int
    promise: Array
    rng: np.random.Generator
    energy: float = np.inf
    broken: bool = False
    moves: int = 0
    best: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    _pool: Array = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        self.words = words(self.spikes.flatten(0, 2).numpy())
        self.best = np.full(self.budget, -1, np.int64)

    def point(self) -> Tensor:
        """The best spikes so far."""
        flat = self.spikes.flatten().clone()
        sites = torch.from_numpy(self.best[self.best >= 0])
        flat[sites] ^= 1
        return flat.view_as(self.spikes)

    def turn(self, state: State, number: int) -> None:
        """One more try; `number` counts them."""
        if number == 0:
            self._first(state)
            if self.broken:
                return
        sites = self._start(number)
        target = self._target(state, number)
        moves = MOVES * min(4, 1 + number // 3)
        hot = HOT * (0.5, 1.0, 2.0)[number % 3]
        found = np.empty(self.budget, np.int64)
        refresh(self.net, state, self._made(sites))
        ranks = np.arange(len(self._pool))
        weights = np.cumsum(1.0 / (ranks + (20.0, 100.0, 5.0)[number % 3]))
        broken, energy = annealing.anneal_flips(
            finer(self.net, number), state, self.label, target, np.array(self.spikes.shape[:3]),
            sites, self._pool, weights, moves, hot, COLD, int(self.rng.integers(1 << 31)), found,
        )  # fmt: skip
        self.moves += moves
        if not broken:  # as all are compared
            refresh(self.net, state, self._made(found))
            energy = overall(self.net, state, self.label)
        self._keep(broken, energy, found)

    def mix(self, promise: Array) -> None:
        """Alternate the pool's sites with those of another promise, the most promising first."""
        fresh = np.argsort(-promise, kind="stable")[: POOL // 2].astype(np.int64)
        both = np.empty(2 * len(fresh), np.int64)
        both[0::2], both[1::2] = fresh, self._pool[: len(fresh)]
        _, first = np.unique(both, return_index=True)
        self._pool = both[np.sort(first)]

    def _first(self, state: State) -> None:
        """Exact effects of the promising sites, then greedy with those that help most."""
        sites = np.argsort(-self.promise, kind="stable")[:POOL].astype(np.int64)
        refresh(self.net, state, self.words)
        effect = np.full(len(sites), np.inf)
        place = annealing.effects(self.net, state, self.label, -1, sites, effect)
        if place >= 0:
            self.broken, self.best[0] = True, sites[place]
            return
        self._pool = sites[np.argsort(effect, kind="stable")]
        made = np.full(self.budget, -1, np.int64)
        for slot in range(self.budget):
            tried = np.setdiff1d(self._pool[:GREEDY], made)
            effect = np.full(len(tried), np.inf)
            place = annealing.effects(self.net, state, self.label, -1, tried, effect)
            chosen = int(np.argmin(effect)) if place < 0 else place
            made[slot] = tried[chosen]
            if place >= 0:
                self._keep(True, 0.0, made)
                return
            refresh(self.net, state, self._made(made))
        self._keep(False, float(effect.min()), made)

    def _start(self, number: int) -> Array:
        """From the best, from a part of it, or from what promises most."""
        kind = number % 4
        if kind == 0:
            return self.best.copy()
        fresh = self.rng.choice(self._pool[: 20 * self.budget], self.budget, replace=False)
        if kind == 3:
            return fresh.astype(np.int64)
        kept = self.rng.permutation(self.best)[: self.budget * (3 - kind) // 3]
        other = fresh[~np.isin(fresh, kept)]
        return np.concatenate([kept, other])[: self.budget].astype(np.int64)

    def _target(self, state: State, number: int) -> int:
        """Any class, or in turn those that stand nearest at the best point."""
        if number % 2 == 0:
            return -1
        refresh(self.net, state, self._made(self.best))
        nearest = standing_order(self.net, state, self.label)
        return int(nearest[(number // 2) % min(4, len(nearest))])

    def _made(self, sites: Array) -> Array:
        made = self.words.copy()
        used = sites[sites >= 0]
        bits = np.uint64(1) << (used % self.net.steps).astype(np.uint64)
        np.bitwise_xor.at(made, used // self.net.steps, bits)
        return made

    def _keep(self, broken: bool, energy: float, sites: Array) -> None:
        if broken or energy < self.energy:
            self.broken, self.energy, self.best = broken, energy, sites.copy()


def words(spikes: Array) -> Array:
    """uint8 `[inputs, steps]` as uint64 `[inputs]`."""
    bits = spikes.astype(np.uint64) << np.arange(spikes.shape[-1], dtype=np.uint64)
    made: Array = bits.sum(-1).astype(np.uint64)
    return made


def standing_order(net: Net, state: State, label: int) -> Array:
    """The wrong classes, the strongest first."""
    outputs = len(net.theta) - int(net.edges[-2])
    whole, soft = np.zeros(outputs, np.int64), np.zeros(outputs)
    answer(net, state, whole, soft)
    order = np.argsort(-soft, kind="stable")
    return order[order != label]


def integers(net: Net, state: State, inputs: Array) -> Array:
    """What is read of each class when these words come in."""
    outputs = len(net.theta) - int(net.edges[-2])
    whole = np.zeros(outputs, np.int64)
    refresh(net, state, inputs)
    answer(net, state, whole, np.zeros(outputs))
    return whole


def overall(net: Net, state: State, label: int) -> float:
    """The energy of a refreshed sample with respect to every wrong class."""
    outputs = len(net.theta) - int(net.edges[-2])
    _, energy = standing(net, state, label, -1, np.zeros(outputs, np.int64), np.zeros(outputs))
    return float(energy)


def begin(
    net: Net, classifier: Classifier, x: Tensor, labels: Tensor, budget: int, seed: int
) -> list[FlipSearch]:
    """A search for each sample, with the promise of every entry.

    Args:
        net: of the same network as the classifier.
        classifier: on the engine.
        x: spikes uint8 `[batch, C, H, W, T]`.
        labels: true classes, int64 `[batch]`.
        budget: flips at most.
        seed: of everything random.
    """
    towards = 1 - 2 * x.to(torch.float32)
    total = torch.zeros_like(towards)
    for surrogate in SURROGATES:
        total += (towards * gradient(classifier, x, labels, surrogate)).clamp_min(0)
    searches = []
    for row in range(len(x)):
        rng = np.random.default_rng([seed, row])
        promise = total[row].flatten().double().numpy() + 1e-9 * rng.random(total[row].numel())
        label = int(labels[row])
        searches.append(FlipSearch(net, x[row], label, budget, promise, rng))
    return searches


def renew(searches: list[FlipSearch], classifier: Classifier, number: int) -> None:
    """Put what the gradient at the best point promises into the pools, every few turns.

    Args:
        searches: all of them.
        classifier: on the engine.
        number: turns so far; decides the surrogates.
    """
    searches = [search for search in searches if not search.broken]
    if not searches or number % 3 != 2:
        return
    x = torch.stack([search.point() for search in searches])
    labels = torch.tensor([search.label for search in searches])
    towards = 1 - 2 * x.to(torch.float32)
    total = torch.zeros_like(towards)
    for k in range(3):
        surrogate = SURROGATES[(number + k) % len(SURROGATES)]
        total += (towards * gradient(classifier, x, labels, surrogate)).clamp_min(0)
    for row, search in enumerate(searches):
        search.mix(total[row].flatten().double().numpy())
