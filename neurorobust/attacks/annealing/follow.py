"""Exact recomputation of single samples for annealing, one sample per thread."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from neurorobust.attacks.annealing import energy
from neurorobust.backends.engine.batch_parts import each
from neurorobust.backends.engine.incremental.loops import COUNT, LAST, Sample, empty, refresh
from neurorobust.backends.engine.incremental.network import Blocks, build, obstacle
from neurorobust.backends.engine.loops import Array
from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput

ROWS = {"count": COUNT, "membrane": LAST}  # of an output neuron, what a readout reads
MEASURED = 2000  # moves of a first walk at most
NEAR = 1 / 6  # of the untouched sample's energy, which is worth more than the least effort


def hindrance(classifier: Classifier, steps: int) -> str:
    """Why a classifier cannot be followed neuron by neuron; empty: it can.

    Args:
        classifier: on any backend.
        steps: of spikes; of an encoder that has its own, any.
    """
    if classifier.encoder.random:
        return f"encoder {classifier.encoder.name}: draws afresh in every run"
    if classifier.readout.kind not in ROWS:
        return f"readout {classifier.readout.kind}: of another kind than {' and '.join(ROWS)}"
    return obstacle(classifier.backend.model, classifier.encoder.steps or steps)


def follow(name: str, classifier: Classifier, steps: int) -> Blocks:
    """The network laid out for `incremental.loops`.

    Args:
        name: of the attack, for the error.
        classifier: see `hindrance`.
        steps: see there.

    Raises:
        BadInput: it cannot be followed; says why.
    """
    reason = hindrance(classifier, steps)
    if reason:
        raise BadInput(f"{name}: cannot follow this network neuron by neuron: {reason}")
    return build(classifier.backend.model, classifier.encoder.steps or steps)


def spike_words(spikes: Tensor) -> Array:
    """Uint8 or bool `[..., time]` -> uint64 `[...]`; bit t: a spike in step t."""
    bits = spikes.numpy().astype(np.uint64)
    found: Array = (bits << np.arange(bits.shape[-1], dtype=np.uint64)).sum(-1, dtype=np.uint64)
    return found


def on_all_threads(work: Callable[[int], None], rows: Tensor) -> None:
    """`work(row)` of each sample (int64 `[n]`), which do not depend on each other."""
    numbers = rows.tolist()
    each(lambda place: work(numbers[place]), len(numbers))


class Followed:
    """One sample: its network, its state, and the energies asked of it.

    Args:
        net: the network.
        words: uint64 `[inputs]`, the untouched input spikes.
        label: true class.
        readout: `count` or `membrane`.
        seed: of its random numbers.
    """

    def __init__(self, net: Blocks, words: Array, label: int, readout: str, seed: int) -> None:
        self.net, self.words, self.label, self.readout = net, words, label, readout
        self.by_count = ROWS[readout] == COUNT
        self.rng = np.random.default_rng(seed)
        self.clean: Array | None = None
        self.work, self.moves = 0, 0

    def begin(self) -> Sample:
        """A state of this thread's, of the untouched sample."""
        sample = empty(self.net)
        refresh(self.net, sample, self.words)
        if self.clean is None:
            self.clean = sample.now.copy()
        return sample

    def affordable(self, moves: int, effort: int, lives: int) -> int:
        """So many moves, or what an even share of the effort that is left allows.

        Args:
            moves: wanted; of the first walk, which measures what a move takes, at most `MEASURED`.
            effort: neurons times steps in all.
            lives: walks that are still to come.
        """
        if not self.moves:
            return min(moves, MEASURED)
        share = max(0, effort - self.work) / max(1, lives)
        return min(moves, int(share * self.moves / max(1, self.work)))

    def far(self, energy: float, least: int) -> bool:
        """Whether `least` is spent and the lowest energy is above `NEAR` of the untouched sample's.

        Of 122 samples on four networks 51 were so far after 1 or 1.5 10^9 neurons times steps; two
        to twenty times as many broke one of them, and five of the 36 that were near.

        Args:
            energy: the lowest so far, by `standing`.
            least: neurons times steps.
        """
        if self.clean is None or self.work < least:
            return False
        return energy > NEAR * self._energy(self.clean)[1]

    def spent(self, sample: Sample, moves: int) -> None:
        """Note what a walk of so many moves took."""
        self.work += int(sample.work[0])
        self.moves += moves

    def weights(self, form: int) -> Array:
        """See `energy.weights`."""
        assert self.clean is not None, "begin first"
        return energy.weights(self.by_count, self.clean, self.label, form)

    def standing(self, sample: Sample) -> tuple[bool, float]:
        """By one energy for all: any class, the first form."""
        return self._energy(sample.now)

    def _energy(self, answers: Array) -> tuple[bool, float]:
        broken, found = energy.standing(answers, self.label, -1, self.weights(0), self.by_count)
        return bool(broken), float(found)

    def target(self, sample: Sample, turn: int, most: int = 4) -> int:
        """Any class (-1) in every other turn, else one of the nearest as the sample stands."""
        if turn % 2 == 0:
            return -1
        score = self.weights(0) @ sample.now
        score[self.label] = -np.inf
        order = np.argsort(-score, kind="stable")[:-1]
        return int(order[turn // 2 % min(most, len(order))])

    def seed(self) -> int:
        """Of the next walk."""
        return int(self.rng.integers(1 << 62))


def seeds(generator: torch.Generator, count: int) -> list[int]:
    """One a sample, whoever is still being searched."""
    return [int(torch.randint(2**62, (), generator=generator)) for _ in range(count)]
