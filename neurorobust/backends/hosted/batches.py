"""A run of Lava as batches for its workers, and their answers as one run."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TypeAlias

import numpy as np
import torch

from neurorobust.backends.hosted.exchange import Array
from neurorobust.backends.hosted.frames import Message
from neurorobust.netx.model import NetxModel
from neurorobust.types import Inputs, LayerTrace, Run

Arrays: TypeAlias = dict[str, Array]
_BATCH_BYTES = 1 << 26  # a batch's inputs and answers stay at about this size
_BATCH_SAMPLES = 256


class Batches:
    """One run, cut up.

    Args:
        model: the network.
        inputs: spikes or drive, checked.
        numbers: in the file, of the layers that Lava builds, in Lava's order.
        record: those of them to record.
        workers: that will share the samples.
    """

    def __init__(
        self,
        model: NetxModel,
        inputs: Inputs,
        numbers: Sequence[int],
        record: Sequence[int],
        workers: int,
    ) -> None:
        self._model, self._numbers = model, numbers
        self._driven = inputs.driven
        kind = torch.int32 if inputs.driven else torch.uint8
        self._data: Array = inputs.values.detach().cpu().to(kind).numpy()
        self.steps = inputs.steps
        self._indices = [index for index, number in enumerate(numbers) if number in record]
        size = self._size(workers)
        self._parts = [self._data[at : at + size] for at in range(0, len(self._data), size)]

    @property
    def messages(self) -> list[Message]:
        """For the workers."""
        return [("run", self._driven, part, self.steps, self._indices) for part in self._parts]

    def check(self, batch: int, answer: object) -> None:
        """Refuse an answer that is none.

        Raises:
            ValueError: says why.
        """
        wanted = self._nothing(len(self._parts[batch]))
        if not isinstance(answer, dict) or answer.keys() != wanted.keys():
            raise ValueError("other arrays than asked for")
        for name, array in wanted.items():
            found = answer[name]
            if found.dtype != array.dtype or found.shape != array.shape:
                raise ValueError(f"{name} is {found.dtype} {found.shape}, asked for {array.shape}")
            if name.endswith("spikes") and found.size and found.max() > 1:
                raise ValueError(f"{name} holds {found.max()}, neither 0 nor 1")

    def join(self, answers: Sequence[Arrays]) -> Run:
        """The answers of all batches as one run."""
        joined = {
            name: torch.from_numpy(np.concatenate([none, *(answer[name] for answer in answers)]))
            for name, none in self._nothing(0).items()
        }
        layers = {
            self._numbers[index]: LayerTrace(
                *(joined[f"{index}/{name}"] for name in ("spikes", "u", "v"))
            )
            for index in self._indices
        }
        return Run(joined["spikes"], joined["membrane"], layers)

    def _size(self, workers: int) -> int:
        """Samples in one batch."""
        neurons = sum(prod(layer.shape) for layer in self._model.spiking_layers)
        a_step = prod(self._model.input_shape) + self._model.outputs
        a_step += 9 * neurons * bool(self._indices)
        shared = -(-len(self._data) // workers)
        return max(1, min(shared, _BATCH_SAMPLES, _BATCH_BYTES // (a_step * self.steps)))

    def _nothing(self, samples: int) -> Arrays:
        """The answer's arrays, all 0."""
        sizes = {layer.number: prod(layer.shape) for layer in self._model.spiking_layers}
        outputs = self._model.outputs
        answer: Arrays = {
            "spikes": np.zeros((samples, outputs, self.steps), dtype=np.uint8),
            "membrane": np.zeros((samples, outputs), dtype=np.int32),
        }
        for index in self._indices:
            shape = (samples, sizes[self._numbers[index]], self.steps)
            answer[f"{index}/spikes"] = np.zeros(shape, dtype=np.uint8)
            answer[f"{index}/u"] = answer[f"{index}/v"] = np.zeros(shape, dtype=np.int32)
        return answer
