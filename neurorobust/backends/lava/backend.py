"""The real Lava runtime: NetX's network under `Loihi2SimCfg(select_tag="fixed_pt")`.

This is Lava's simulation of the chip, not the chip. What is computed is computed by Lava's
process models; how samples are kept apart and aligned is told in `models`. Lava forks a
process for every layer, can hang, and can leave processes and shared memory behind: so it runs in
worker processes with a time limit, whose whole process groups are ended and swept up after an
error, a time-out, Ctrl-C, `close()`, or the parent's death. `hosted.pool` says what is retried.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from neurorobust.backends.hosted.backend import HostedBackend, require_lava
from neurorobust.errors import BadInput
from neurorobust.netx.model import NetxModel

RECYCLE_BATCHES, RECYCLE_GROWTH_MIB = 256, 512
TIMEOUT = 600.0  # seconds
_MAX_WORKERS = 4


class LavaBackend(HostedBackend):
    """Runs a network in Lava, on the aligned clock.

    A context manager. Workers start with the first `run` and serve until `close`. It may be used
    in a forked child and sent to a spawned one: workers stay with the process that started them.

    Args:
        model: the network. A model that was read from a file needs that file, unchanged; another is
            written to a temporary one.
        timeout: seconds that one batch (up to 256 samples, fewer with several workers) may take,
            start of a worker and compilation included.
        on_sample: called with (samples done, samples in all) while a batch runs.
        workers: how many copies of the network run side by side, each in one process a layer; None:
            one for every two cores, at most 4.
        sparse: fully connected layers as Lava's `Sparse` processes, which hold only weights that
            are not 0. The integers are the same.
        memory_limit: MiB that each of Lava's processes may allocate beyond what importing Lava
            took; None: no limit of ours.
        recycle: batches after which a worker is replaced by a new one.
        growth: MiB that a worker may grow after its first batch before it is replaced.

    Raises:
        UnavailableError: Lava is not installed, or this is not Linux.
        ModelFileError: the file changed, or holds what Lava's NetX does not load.

    Example:
        >>> from neurorobust.netx import read
        >>> with LavaBackend(read("model.net"), workers=2) as backend:
        ...     run = backend.run(spikes)
        >>> run.spikes.shape
        torch.Size([8, 4, 12])
    """

    name = "lava"
    about = "Lava's fixed-point simulation on this CPU"
    module = "neurorobust.backends.lava.worker"

    def __init__(
        self,
        model: NetxModel,
        timeout: float = TIMEOUT,
        on_sample: Callable[[int, int], None] | None = None,
        *,
        workers: int | None = None,
        sparse: bool = False,
        memory_limit: int | None = None,
        recycle: int = RECYCLE_BATCHES,
        growth: int = RECYCLE_GROWTH_MIB,
    ) -> None:
        require_lava()
        for name, value in (("workers", workers), ("memory limit", memory_limit)):
            if value is not None and value < 1:
                raise BadInput(f"lava: {name} {value} below 1")
        super().__init__(
            model,
            timeout,
            on_sample,
            workers or default_workers(),
            memory_limit or 0,
            [int(sparse)],
            recycle,
            growth,
        )


def default_workers() -> int:
    """One for every two cores, at most 4: each worker runs one process a layer already."""
    return max(1, min(_MAX_WORKERS, len(os.sched_getaffinity(0)) // 2))
