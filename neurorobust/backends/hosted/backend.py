"""What the backends that run Lava in worker processes share: Lava's simulation and the board."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, cast

from torch import Tensor

from neurorobust import netx
from neurorobust.backends.base import ALIGNED, check_clock, check_inputs, check_record
from neurorobust.backends.hosted.batches import Arrays, Batches
from neurorobust.backends.hosted.pool import Pool
from neurorobust.backends.hosted.process import WorkerProcess, new_directory
from neurorobust.backends.hosted.serving import MODEL_FILE
from neurorobust.errors import BadInput, ModelFileError, UnavailableError
from neurorobust.netx.model import AverageLayer, NetxModel
from neurorobust.types import Inputs, Run

Self = TypeVar("Self", bound="HostedBackend")


class HostedBackend:
    """Runs a network in worker processes that hold Lava, on the aligned clock.

    A context manager. Workers start with the first `run` and serve until `close`. It may be used
    in a forked child and sent to a spawned one: workers stay with the process that started them.

    Args:
        model: the network. A model that was read from a file needs that file, unchanged; another is
            written to a temporary one.
        timeout: seconds that one batch may take.
        on_sample: called with (samples done, samples in all) while a batch runs.
        workers: how many may work side by side.
        memory_limit: MiB a process beyond its start; 0: no limit of ours.
        options: integers for the worker's `make`.
        recycle, growth: see `Pool`.

    Raises:
        UnavailableError: Lava is not installed, or this is not Linux.
        ModelFileError: the file changed, or holds what Lava's NetX does not load.
    """

    name = ""
    about = ""
    query_batch = 16  # one sample runs after the other
    module = ""  # the worker's program
    patience = 0  # seconds that it gets to put things in order when it is ended

    def __init__(
        self,
        model: NetxModel,
        timeout: float,
        on_sample: Callable[[int, int], None] | None,
        workers: int,
        memory_limit: int,
        options: list[int],
        recycle: int,
        growth: int,
    ) -> None:
        if not timeout > 0:
            raise BadInput(f"{self.name}: time limit {timeout} s not above 0")
        self.model = model
        self.timeout = timeout
        self.on_sample = on_sample
        self._workers, self._memory_limit, self._options = workers, memory_limit, options
        self._layers = _layers_to_build(model)
        self._recycling = (recycle, growth)
        self._pool, self._owner = self._new_pool(), os.getpid()
        self._samples, self._seconds, self._starting = 0, 0.0, 0.0
        _check_file(model)

    def run(
        self, inputs: Inputs | Tensor, record: Collection[int] = (), clock: str = ALIGNED
    ) -> Run:
        """See `Backend.run`. The worker forgets between samples, so the clock is `aligned` only.

        Raises:
            BackendError: Lava failed, or the time limit passed; the workers have been ended. Names
                the file that Lava's log, with its traceback, was copied to.
        """
        check_clock(clock, self.name, known=[ALIGNED])
        inputs = Inputs.of(inputs)
        check_inputs(self.model, inputs)
        check_record(self.model, record)
        numbers = self._numbers(inputs.driven)
        if not numbers:
            raise BadInput("spikes: the network has no synapse to give them to, give it drive")
        for number in record:
            if number not in numbers:
                raise BadInput(f"record: layer {number} (input) is skipped when spikes are given")
        if self._owner != os.getpid():  # a fork: the workers are the parent's
            self._pool, self._owner = self._new_pool(), os.getpid()
        batches = Batches(self.model, inputs, numbers, list(record), self._workers)
        total, done = len(inputs), 0

        def progress(more: int) -> None:
            nonlocal done
            done += more
            if self.on_sample is not None and more > 0:
                self.on_sample(done, total)

        begun = time.monotonic()
        answers = self._pool.run(batches.messages, self.timeout, batches.check, progress)
        self._seconds += time.monotonic() - begun
        self._starting += self._pool.waited
        self._samples += total
        return batches.join(cast("list[Arrays]", answers))

    def measured(self) -> dict[str, Any]:
        """What runs so far took: samples, seconds (those until Lava had compiled apart), rate."""
        working = self._seconds - self._starting
        return {
            "workers": self._workers,
            "workers_started": self._pool.started,
            "batches_retried": self._pool.retried,
            "samples": self._samples,
            "seconds": round(self._seconds, 3),
            "starting_seconds": round(self._starting, 3),
            "samples_per_second": round(self._samples / working, 2) if working > 0 else None,
        }

    def close(self) -> None:
        """End the workers and all of Lava's processes. A later `run` starts new ones."""
        self._pool.close()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pool": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._pool, self._owner = self._new_pool(), os.getpid()

    def _new_pool(self) -> Pool:
        return Pool(self._start, self._workers, self.name, *self._recycling)

    def _start(self) -> WorkerProcess:
        directory = new_directory()
        try:
            if self.model.path:
                shutil.copyfile(self.model.path, directory / MODEL_FILE)
                _check_file(self.model, directory / MODEL_FILE)
            else:
                netx.write(self.model, directory / MODEL_FILE)
            first = self.model.input_layer
            skip = 0 if first is None else first.number + 1
            numbers = [self._layers, skip, self._memory_limit, *self.model.input_shape]
            return WorkerProcess(directory, [*numbers, *self._options], self.module, self.patience)
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise

    def _numbers(self, driven: bool) -> list[int]:
        """The built layers' numbers in the file, in Lava's order."""
        skipped = None if driven else self.model.input_layer
        return [layer.number for layer in self.model.spiking_layers if layer is not skipped]


def require_lava() -> None:
    """Refuse to go on without Lava.

    Raises:
        UnavailableError: with the line that installs it.
    """
    if not sys.platform.startswith("linux"):
        raise UnavailableError(
            f"lava: its worker needs Linux (/proc, /dev/shm), this is {sys.platform}"
        )
    for package in ("lava", "lava.magma", "lava.lib.dl"):
        try:
            found = importlib.util.find_spec(package) is not None
        except (ImportError, ValueError):
            found = False
        if not found:
            raise UnavailableError(
                'lava: not installed; pip install "lava-nc" "lava-dl" on Python 3.10'
            )


def _layers_to_build(model: NetxModel) -> int:
    """The file's layers without the `average` layers at its end, which NetX cannot load."""
    count = len(model.layers)
    while count and isinstance(model.layers[count - 1], AverageLayer):
        count -= 1
    for layer in model.layers[:count]:
        if isinstance(layer, AverageLayer):
            raise ModelFileError(
                f"layer {layer.number} (average): Lava's NetX cannot load it before other layers"
            )
    return count


def _check_file(model: NetxModel, copy: Path | None = None) -> None:
    """The file is still what the model was read from."""
    if not model.path:
        return
    try:
        digest = hashlib.sha256((copy or Path(model.path)).read_bytes()).hexdigest()
    except OSError as error:
        raise ModelFileError(f"{model.path}: {error.strerror}") from None
    if digest != model.sha256:
        raise ModelFileError(
            f"{model.path}: sha256 {digest[:12]}..., the model was read from {model.sha256[:12]}..."
        )
