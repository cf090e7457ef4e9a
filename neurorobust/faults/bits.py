"""The k weight bits that hurt most, and k random ones beside them.

Progressive bit search: Rakin et al., "Bit-flip attack: crushing neural network with progressive bit
search", ICCV 2019, there on 8-bit CNNs; here on the integers of a `.net` file. In each round the
gradient of the loss ranks the bits of every matrix, the best few of each are flipped one at a time,
and the most damaging flip stays. Our form: a scale-free cross-entropy of the samples that are still
right; damage is the share that is wrong, then that loss; several candidates a matrix; no bit twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neurorobust.attacks.modes import PLAIN, Mode
from neurorobust.attacks.objectives import cross_entropy, unscaled
from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.engine.sensitivity import weight_gradients
from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput
from neurorobust.evaluation.kept import Kept
from neurorobust.evaluation.query import Arrays
from neurorobust.faults.memory import Flip, Matrix, Memory
from neurorobust.netx.model import NetxModel
from neurorobust.readouts import first_argmax
from neurorobust.types import Inputs, Labels, Run

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs that were encoded once, so that all networks see the same, and their labels."""

    inputs: Inputs
    labels: Labels

    @staticmethod
    def of(
        classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Samples:
        """Encode x."""
        return Samples(classifier.encoder.encode(x, generator), labels)

    def loss(self, classifier: Classifier, run: Run) -> Tensor:
        """Mean scale-free cross-entropy of those that are right; the others are done with."""
        logits = unscaled(classifier).readout.logits(run).to(torch.float32)
        right = first_argmax(logits.detach()) == self.labels
        return (cross_entropy(logits, self.labels) * right).sum() / len(self.labels)

    def damage(self, classifier: Classifier, run: Run) -> tuple[float, float]:
        """The share that is wrong, then `loss`: what a flip is chosen by."""
        wrong = (classifier.readout.labels(run) != self.labels).double().mean()
        return float(wrong), float(self.loss(classifier, run))

    def predicted(self, classifier: Classifier, model: NetxModel) -> Labels:
        """What a network with this readout answers, int64 `[batch]`."""
        return classifier.readout.labels(EngineBackend(model).run(self.inputs))


@dataclass(frozen=True)
class Search:
    """Progressive bit search.

    Threat model: white-box; the adversary writes single bits of the weights' memory (as by row
    hammer) and knows some labelled data. What it makes is a legal `.net` file.

    Attributes:
        candidates: bits of each matrix that are tried in a round.
        mode: the backward mode of the gradient.
    """

    candidates: int = 4
    mode: Mode = PLAIN

    def __call__(
        self, classifier: Classifier, samples: Samples, count: int, kept: Kept | None = None
    ) -> tuple[Flip, ...]:
        """The bits, in the order they were found: the first k are the answer for k.

        Args:
            classifier: whose network is attacked; on the engine.
            samples: what the adversary knows.
            count: bits at most.
            kept: each round's bit is taken from here, or kept here; None: found anew. Gradients
                are always computed: a backward mode may remember them.

        Raises:
            BadInput: another backend, or fewer than one bit.
        """
        if count < 1:
            raise BadInput(f"weight bits: {count} below 1")
        memory = Memory(classifier.backend.model)
        found: list[Flip] = []
        backward = self.mode.start()
        for done in range(count):
            backward.begin(0)
            gradients = weight_gradients(
                EngineBackend(memory.model()),
                samples.inputs,
                backward.backward,
                lambda run: samples.loss(classifier, run),
            )
            tried = [
                flip
                for (layer, name), matrix in memory.matrices.items()
                for flip in self._promising(layer, name, matrix, found, gradients[layer, name])
            ]
            if not tried:
                break

            def worst(tried: list[Flip] = tried) -> Arrays:
                damages = [self._damage(classifier, samples, memory, flip) for flip in tried]
                return {"tried": np.asarray(damages.index(max(damages)))}

            arrays = worst() if kept is None else kept.arrays(f"bit {done + 1}", (), worst)
            found.append(tried[int(arrays["tried"])])
            memory.flip(found[-1])
        return tuple(found)

    def _promising(
        self, layer: int, name: str, matrix: Matrix, found: list[Flip], slope: FloatArray
    ) -> list[Flip]:
        """The bits of one matrix that promise most to first order."""
        promise = slope.reshape(-1)[:, None] * matrix.changes()
        promise = np.where(matrix.allowed(), promise, -np.inf)
        for flip in found:
            if (flip.layer, flip.name) == (layer, name):
                promise[flip.index, flip.bit] = -np.inf
        flat = promise.reshape(-1)
        few = min(self.candidates, flat.size)
        best = np.argpartition(-flat, few - 1)[:few]
        best = best[np.isfinite(flat[best])]
        return [Flip(layer, name, *divmod(int(place), matrix.bits)) for place in sorted(best)]

    def _damage(
        self, classifier: Classifier, samples: Samples, memory: Memory, flip: Flip
    ) -> tuple[float, float]:
        memory.flip(flip)
        run = EngineBackend(memory.model()).run(samples.inputs)
        memory.flip(flip)
        return samples.damage(classifier, run)


def random_flips(model: NetxModel, count: int, generator: np.random.Generator) -> tuple[Flip, ...]:
    """Distinct bits of all matrices, drawn uniformly: the control. The first k are those for k.

    A flip that would leave what NetX cannot hold is drawn again.
    """
    memory = Memory(model)
    places = list(memory.matrices)
    sizes = [matrix.weight.size * matrix.bits for matrix in memory.matrices.values()]
    starts = np.cumsum([0, *sizes])
    found: list[Flip] = []
    for drawn in generator.permutation(len(memory)):
        if len(found) == count:
            break
        which = int(np.searchsorted(starts, drawn, side="right")) - 1
        matrix = memory.matrices[places[which]]
        index, bit = divmod(int(drawn - starts[which]), matrix.bits)
        if matrix.allowed(index)[bit]:
            found.append(Flip(*places[which], index, bit))
            memory.flip(found[-1])
    return tuple(found)
