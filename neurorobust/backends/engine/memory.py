"""How much memory a forward run takes, and how many samples go through the layers together.

Counted is what a run needs beside its inputs and results: per thread a chunk of samples (a layer's
input and output, its neurons' state, what is recorded of it) and the sums on their way.
"""

from __future__ import annotations

import contextlib
import functools
from dataclasses import dataclass

import numpy as np

from neurorobust.errors import BadInput

MEMORY_LIMIT = 2 << 30  # bytes
CHUNK_BYTES = 1 << 23  # of a chunk's spikes: in the last cache, and few enough calls of Python
BLOCK_BYTES = 1 << 22  # of the operands and sums of one product
STATE_BYTES = 16  # u and v of a neuron, at most
RECORD_BYTES = 24  # a step of a neuron that is recorded: u, v, and v before the reset; twice
TEACHING_BLOCK = 31 << 20  # bytes; freeing it raises glibc's threshold nearly to its largest


@functools.cache
def keep_freed() -> None:
    """Have the process keep freed memory, up to 62 MiB at the end of each heap, once.

    A run frees all it took, and the next takes as much again. glibc hands large free memory back to
    the system in between, which costs a fault for every 4 KiB: at times a fifth of a training step.
    It stops when a large block has been freed (mallopt(3), "dynamic mmap threshold"): here one that
    nobody touches. Another allocator takes no notice. glibc has a heap for each thread.
    """
    with contextlib.suppress(MemoryError):  # under a limit; it is not needed
        np.empty(TEACHING_BLOCK, dtype=np.uint8)


@dataclass(frozen=True)
class Memory:
    """What one layer needs.

    Attributes:
        inputs: entries of a step.
        neurons: entries of a step.
        row: bytes of the operands and sums of one step; of a convolution in bands, of one band.
        whole: all steps of a sample are summed together.
    """

    inputs: int
    neurons: int
    row: int
    whole: bool = False

    def block(self, steps: int) -> tuple[int, int]:
        """Samples and steps whose sums are computed together and stay in the cache."""
        rows = max(1, BLOCK_BYTES // max(1, self.row))
        if rows >= steps or self.whole:
            return max(1, rows // steps), steps
        return 1, rows

    def scratch(self, steps: int) -> int:
        """Bytes of the sums on their way, on one thread."""
        samples, times = self.block(steps)
        return samples * times * self.row + BLOCK_BYTES

    def sample(self, steps: int, recorded: bool) -> int:
        """Bytes of one sample."""
        taken = steps * (self.inputs + 2 * self.neurons) + STATE_BYTES * self.neurons
        return taken + (RECORD_BYTES * steps * self.neurons if recorded else 0)


def chunk_size(
    layers: list[Memory], steps: int, threads: int, limit: int, recorded: bool = False
) -> int:
    """Samples that go through the layers together on one thread.

    Raises:
        BadInput: the limit does not hold a single one.
    """
    scratch, sample = needs(layers, steps, recorded)
    free = limit // threads - scratch
    if free < sample:
        raise BadInput(
            f"memory limit {limit} bytes below {threads * (scratch + sample)}, which one sample of"
            f" {steps} steps on each of {threads} threads takes"
        )
    fast = CHUNK_BYTES // (steps * max(layer.inputs + layer.neurons for layer in layers))
    return max(1, min(fast, free // sample))


def needs(layers: list[Memory], steps: int, recorded: bool = False) -> tuple[int, int]:
    """Bytes of the sums on their way on one thread, and of one sample."""
    scratch = max(layer.scratch(steps) for layer in layers)
    return scratch, max(layer.sample(steps, recorded) for layer in layers)
