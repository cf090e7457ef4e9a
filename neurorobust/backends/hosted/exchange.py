"""The batch that Lava's forked processes share with the worker, and the clock they read it by.

Lava's variables can be read and set from outside only between runs and number by number, so that
each sample would cost thousands of messages. Instead the processes read inputs from, and write
states to, one unnamed file that they inherited when they were forked.

Clock: one step in `steps + 1` is a **gap** between samples. A process at depth d is d steps late:
its local time is `time - 1 - d`, and sample s covers the local times `s * (steps + 1)` (the gap)
to `s * (steps + 1) + steps`. A source of spikes and an on-chip input layer have depth 0. A
synapse buffers one step; it has the depth of what feeds it, and its neuron is one deeper. A
recurrent synapse is fed by that neuron and has its depth. Samples follow each other without
waiting: a network of depth d costs d steps more for a batch.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Collection
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
_GENERATION, _SAMPLES, _STEPS, _FLAGS = range(4)  # the header's entries; then one flag a layer
_ALIGNMENT = mmap.ALLOCATIONGRANULARITY


class Exchange:
    """Arrays of one batch in an unnamed file that forked processes inherit; nothing to clean up.

    Args:
        directory: where the file lives for the moment between its making and its unlinking.
        inputs: neurons of the input.
        layers: neurons of each layer, in order.
        driven: the input is an on-chip layer's bias (int32 `[sample, neuron]`), else spikes
            (uint8 `[sample, step, neuron]`).
    """

    def __init__(self, directory: Path, inputs: int, layers: list[int], driven: bool) -> None:
        self._file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 (lives as long as this)
        self._inputs, self._layers, self._driven = inputs, layers, driven
        self._header_bytes = _aligned((_FLAGS + len(layers)) * 8)
        os.ftruncate(self._file.fileno(), self._header_bytes)
        header = mmap.mmap(self._file.fileno(), self._header_bytes)
        self._header: npt.NDArray[np.int64] = np.frombuffer(header, dtype=np.int64)
        self._seen = 0
        self.samples = self.steps = 0
        self.arrays: dict[str, Array] = {}

    def begin(self, samples: int, steps: int, record: Collection[int]) -> None:
        """Make room for a batch (called by the worker, between runs)."""
        self._header[_SAMPLES], self._header[_STEPS] = samples, steps
        self._header[_FLAGS : _FLAGS + len(self._layers)] = [
            index in record for index in range(len(self._layers))
        ]
        size = self._header_bytes + sum(_aligned(count) for count in self._sizes().values())
        os.ftruncate(self._file.fileno(), max(size, os.fstat(self._file.fileno()).st_size))
        self._header[_GENERATION] += 1
        self.refresh()

    def refresh(self) -> bool:
        """Follow the worker to its newest batch; True when there is a new one."""
        if self._seen == self._header[_GENERATION]:
            return False
        self._seen = int(self._header[_GENERATION])
        self.samples, self.steps = int(self._header[_SAMPLES]), int(self._header[_STEPS])
        self.arrays, offset = {}, self._header_bytes
        for name, (dtype, shape) in self._layout().items():
            size = prod(shape) * np.dtype(dtype).itemsize
            view = mmap.mmap(self._file.fileno(), size, offset=offset)
            self.arrays[name] = np.frombuffer(view, dtype=dtype).reshape(shape)
            offset += _aligned(size)
        return True

    def _sizes(self) -> dict[str, int]:
        return {
            name: prod(shape) * np.dtype(dtype).itemsize
            for name, (dtype, shape) in self._layout().items()
        }

    def _layout(self) -> dict[str, tuple[type, tuple[int, ...]]]:
        samples, steps = int(self._header[_SAMPLES]), int(self._header[_STEPS])
        layout: dict[str, tuple[type, tuple[int, ...]]] = {
            "input": (np.int32, (samples, self._inputs))
            if self._driven
            else (np.uint8, (samples, steps, self._inputs)),
            "spikes": (np.uint8, (samples, steps, self._layers[-1])),
            "membrane": (np.int32, (samples, self._layers[-1])),
        }
        for index, count in enumerate(self._layers):
            if self._header[_FLAGS + index]:
                shape = (samples, steps, count)
                layout[f"{index}/spikes"] = (np.uint8, shape)
                layout[f"{index}/u"] = layout[f"{index}/v"] = (np.int32, shape)
        return layout


def _aligned(size: int) -> int:
    """The next multiple of what mmap can start at."""
    return -(-size // _ALIGNMENT) * _ALIGNMENT


class Clock:
    """One process's view of the batch: which sample, which step.

    Args:
        exchange: the batch.
        depth: steps that this process is late.
    """

    def __init__(self, exchange: Exchange, depth: int) -> None:
        self.exchange, self.depth = exchange, depth
        self._local = 0

    def tick(self) -> tuple[int, int]:
        """The sample and its step that Lava's next time step is for; step -1 is the gap."""
        self._local = -self.depth if self.exchange.refresh() else self._local + 1
        sample, step = divmod(self._local, self.exchange.steps + 1)
        return sample, step - 1

    def holds(self, sample: int) -> bool:
        """False before the first sample and after the last, while the pipeline fills and drains."""
        return 0 <= sample < self.exchange.samples
