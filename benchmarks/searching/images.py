"""The search over pixels: annealing between the few choices that each of them has.

A network that is fed drive sees of a pixel only the spikes that its input neuron makes of it.
Inside a ball there are few different ones: these are the pixel's choices, and the search is one
over whole numbers. Which value makes which spikes is asked of the encoder and of the engine.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from neurorobust.classifier import Classifier
from searching import annealing
from searching.delta_loops import State, refresh
from searching.delta_network import Array, Net, finer
from searching.events import overall, standing_order, words

VALUES = 257  # of each pixel, evenly over what the ball allows, that are tried for its choices
MOVES = 10_000  # of a first annealing; later ones are longer
HOT, COLD = 0.6, 0.03
ELITE = 6  # points kept of each sample, to be crossed


@dataclass
class PixelSearch:
    """One sample.

    Attributes:
        net: the network.
        label: its class.
        shape: C, H, W.
        starts: int64 `[inputs + 1]`; input n has the choices `starts[n]` to `starts[n + 1]`.
        choices: uint64, their spikes.
        values: float32, a pixel that makes them.
        levels: int64 `[VALUES, inputs]`; which of its choices each input makes, from low to high.
        low, high: float64 `[inputs]`; the ball.
        rng: of its own.
    """

    net: Net
    label: int
    shape: tuple[int, ...]
    starts: Array
    choices: Array
    values: Array
    levels: Array
    low: Array
    high: Array
    rng: np.random.Generator
    energy: float = np.inf
    broken: bool = False
    moves: int = 0
    best: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    elite: list[tuple[float, Array]] = field(default_factory=list)
    weights: Array = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        self.free = np.flatnonzero(np.diff(self.starts) > 1).astype(np.int64)
        self.best = self.starts[:-1].copy()
        self.lean = self.starts[:-1].copy()
        self.weights = np.ones(len(self.free))

    def point(self) -> Tensor:
        """The best image so far, float32 `[C, H, W]`."""
        return torch.from_numpy(self.values[self.best].reshape(self.shape))

    def same(self, image: Array) -> Array:
        """The choices that an image inside the ball makes, to `VALUES` levels."""
        span = np.maximum(self.high - self.low, 1e-12)
        level = np.rint((image - self.low) / span * (VALUES - 1)).astype(np.int64)
        chosen: Array = self.starts[:-1] + self.levels[level, np.arange(len(level))]
        return chosen

    def offer(self, state: State, image: Array) -> None:
        """An image that an ascent came to."""
        self._walk(state, self.same(image), -1, 0, 0, HOT)

    def see(self, gradients: Array, sizes: Array) -> None:
        """Change pixels with large gradients more often, and lean to where they point."""
        some = sizes[self.free]
        self.weights = self.weights + some / max(float(some.mean()), 1e-12)
        self.lean = np.where(gradients > 0, self.starts[1:] - 1, self.starts[:-1])

    def turn(self, state: State, number: int) -> None:
        """One more try; `number` counts them."""
        if not len(self.free):
            return
        target, kind = -1, number % 4
        if number % 2:
            refresh(self.net, state, self.choices[self.best])
            nearest = standing_order(self.net, state, self.label)
            target = int(nearest[(number // 2) % min(4, len(nearest))])
        now = self._start(kind)
        moves = MOVES * min(4, 1 + number // 3)
        self._walk(state, now, target, number, moves, HOT * (0.3, 1.0, 0.6, 2.0)[kind])

    def _start(self, kind: int) -> Array:
        """The best, two good ones crossed, or a random corner."""
        if kind == 0 or len(self.elite) < 2:
            return self.best.copy()
        if kind == 3:
            low = self.rng.random(len(self.best)) < 0.5
            corner: Array = np.where(low, self.starts[:-1], self.starts[1:] - 1)
            return corner
        one, other = self.rng.choice(len(self.elite), 2, replace=False)
        mask = self.rng.random(len(self.best)) < 0.5
        crossed: Array = np.where(mask, self.elite[one][1], self.elite[other][1])
        return crossed

    def _walk(
        self, state: State, now: Array, target: int, number: int, moves: int, hot: float
    ) -> None:
        refresh(self.net, state, self.choices[now])
        found = np.empty_like(now)
        sampled = np.cumsum(self.weights + self.weights.mean())
        broken, energy = annealing.anneal_choices(
            finer(self.net, number), state, self.label, target, np.array(self.shape),
            self.starts, self.choices, now, self.free, sampled, self.lean, moves, hot, COLD,
            int(self.rng.integers(1 << 31)), found,
        )  # fmt: skip
        self.moves += moves
        if not broken:  # as all are compared
            refresh(self.net, state, self.choices[found])
            energy = overall(self.net, state, self.label)
        if broken or energy < self.energy:
            self.broken, self.energy, self.best = broken, energy, found.copy()
        self.elite = sorted([*self.elite, (energy, found)], key=lambda pair: pair[0])[:ELITE]


def begin(
    net: Net, classifier: Classifier, x: Tensor, labels: Tensor, epsilon: float, seed: int
) -> list[PixelSearch]:
    """A search for each sample, with the choices of every pixel.

    Args:
        net: of the same network as the classifier.
        classifier: on the engine, fed drive.
        x: images float32 `[batch, C, H, W]`.
        labels: true classes, int64 `[batch]`.
        epsilon: L-infinity.
        seed: of everything random.
    """
    searches = []
    for row in range(len(x)):
        starts, choices, values, levels = choices_of(classifier, x[row], epsilon)
        low, high = (end.astype(np.float64) for end in corners(x[row].numpy().ravel(), epsilon))
        rng = np.random.default_rng([seed, row])
        shape = classifier.backend.model.input_shape
        label = int(labels[row])
        searches.append(
            PixelSearch(net, label, shape, starts, choices, values, levels, low, high, rng)
        )
    return searches


def choices_of(
    classifier: Classifier, image: Tensor, epsilon: float
) -> tuple[Array, Array, Array, Array]:
    """What the input neurons can be made to do inside the ball.

    Args:
        classifier: fed drive.
        image: float32 `[C, H, W]`.
        epsilon: L-infinity.

    Returns:
        int64 `[inputs + 1]`, where each input's choices begin; their spikes, uint64; the float32
        pixels that make them, from the darkest to the brightest; int64 `[VALUES, inputs]`, the
        choice (from 0) that each level between the ball's ends makes.
    """
    low, high = corners(image.numpy().reshape(-1), epsilon)
    share = np.linspace(0, 1, VALUES)[:, None]
    tried = (low + (high.astype(np.float64) - low) * share).astype(np.float32).clip(low, high)
    batch = torch.from_numpy(tried.reshape(VALUES, *image.shape))
    spikes = input_spikes(classifier, batch)
    made = words(spikes.reshape(VALUES * spikes.shape[1], -1)).reshape(VALUES, -1)
    levels = np.zeros(made.shape, np.int64)
    starts, choices, values = [0], [], []
    for place in range(made.shape[1]):
        _, first, of = np.unique(made[:, place], return_index=True, return_inverse=True)
        kept = np.sort(first)
        levels[:, place] = np.argsort(np.argsort(first))[of]
        choices.append(made[kept, place])
        values.append(tried[kept, place])
        starts.append(starts[-1] + len(kept))
    return np.array(starts, np.int64), np.concatenate(choices), np.concatenate(values), levels


def input_spikes(classifier: Classifier, images: Tensor) -> Array:
    """What the on-chip input layer fires: uint8 `[batch, inputs, steps]`."""
    backend = classifier.backend
    layer = backend.model.input_layer
    assert layer is not None, "drive needs one"
    run = backend.run(classifier.encoder.encode(images), record=[layer.number])
    return np.asarray(run.layers[layer.number].spikes.numpy())


def corners(x: Array, epsilon: float) -> tuple[Array, Array]:
    """The lowest and the highest float32 inside the ball and [0, 1], of float32 pixels."""
    exact = x.astype(np.float64)
    low = np.maximum(exact - epsilon, 0).astype(np.float32)
    high = np.minimum(exact + epsilon, 1).astype(np.float32)
    low = np.where(exact - low.astype(np.float64) > epsilon, np.nextafter(low, np.float32(2)), low)
    high = np.where(
        high.astype(np.float64) - exact > epsilon, np.nextafter(high, np.float32(-1)), high
    )
    return low, high
