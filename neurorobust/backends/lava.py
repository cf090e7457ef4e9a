"""The real Lava runtime: NetX's network under `Loihi2SimCfg(select_tag="fixed_pt")`.

This is Lava's simulation of the chip, not the chip. What is computed is computed by Lava's
process models; how samples are kept apart and aligned is told in `lava_models`. Lava forks a
process for every layer, can hang, and can leave processes and shared memory behind: so it runs in
a worker process with a time limit, whose whole process group is ended and swept up after an
error, a time-out, Ctrl-C, `close()`, or the parent's death.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import sys
import time
from collections.abc import Callable, Collection
from math import prod
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

import numpy as np
import torch

from neurorobust import netx
from neurorobust.backends.base import ALIGNED, check_clock, check_inputs, check_record
from neurorobust.backends.lava_exchange import Array
from neurorobust.backends.lava_process import WorkerProcess, new_directory
from neurorobust.backends.lava_worker import MODEL_FILE
from neurorobust.errors import BadInput, ModelFileError, UnavailableError
from neurorobust.netx.model import AverageLayer, NetxModel
from neurorobust.types import Drive, Inputs, LayerTrace, Run

Arrays: TypeAlias = dict[str, Array]
_CHUNK_BYTES = 1 << 26  # samples travel in chunks of about this size


class LavaBackend:
    """Runs a network in Lava, on the aligned clock.

    A context manager. The worker starts with the first `run` and serves until `close`.

    Args:
        model: the network. A model that was read from a file needs that file, unchanged; another is
            written to a temporary one.
        timeout: seconds that one `run` may take, start of the worker and compilation included.
        on_sample: called with (samples done, samples in all) while a batch runs.

    Raises:
        UnavailableError: Lava is not installed, or this is not Linux.
        ModelFileError: the file changed, or holds what Lava's NetX does not load.

    Example:
        >>> with LavaBackend(netx.read("model.net")) as backend:  # doctest: +SKIP
        ...     run = backend.run(spikes)
    """

    name = "lava"

    def __init__(
        self,
        model: NetxModel,
        timeout: float = 600.0,
        on_sample: Callable[[int, int], None] | None = None,
    ) -> None:
        require_lava()
        if not timeout > 0:
            raise BadInput(f"lava: time limit {timeout} s not above 0")
        self.model = model
        self.timeout = timeout
        self.on_sample = on_sample
        self._layers = _layers_to_build(model)
        self._worker: WorkerProcess | None = None
        _check_file(model)

    def run(self, inputs: Inputs, record: Collection[int] = (), clock: str = ALIGNED) -> Run:
        """See `Backend.run`. The worker forgets between samples, so the clock is `aligned` only.

        Raises:
            BackendError: Lava failed, or the time limit passed; the worker has been ended.
        """
        check_clock(clock, self.name, known=[ALIGNED])
        check_inputs(self.model, inputs)
        check_record(self.model, record)
        driven = isinstance(inputs, Drive)
        numbers = self._numbers(driven)
        if not numbers:
            raise BadInput("spikes: the network has no synapse to give them to, give it drive")
        for number in record:
            if number not in numbers:
                raise BadInput(f"record: layer {number} (input) is skipped when spikes are given")
        batch, steps = _as_array(inputs)
        indices = [index for index, number in enumerate(numbers) if number in record]
        try:
            chunks = self._run_batch(driven, batch, steps, indices) if len(batch) else []
        except BaseException:  # Ctrl-C too
            self.close()
            raise
        none = self._nothing(numbers, steps, indices)
        joined = {
            name: torch.from_numpy(np.concatenate([empty, *(chunk[name] for chunk in chunks)]))
            for name, empty in none.items()
        }
        layers = {
            numbers[index]: LayerTrace(
                *(joined[f"{index}/{name}"] for name in ("spikes", "u", "v"))
            )
            for index in indices
        }
        return Run(joined["spikes"], joined["membrane"], layers)

    def close(self) -> None:
        """End the worker and all of Lava's processes. A later `run` starts a new worker."""
        if self._worker is not None:
            self._worker.end()
            self._worker = None

    def __enter__(self) -> LavaBackend:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run_batch(
        self, driven: bool, batch: Array, steps: int, indices: list[int]
    ) -> list[Arrays]:
        deadline = time.monotonic() + self.timeout
        if self._worker is None:
            self._worker = self._start()
            self._worker.receive(deadline, self.timeout)  # ready
        chunks, size = [], self._chunk(steps, indices)
        for start in range(0, len(batch), size):
            self._worker.send(("run", driven, batch[start : start + size], steps, indices))
            while True:
                kind, answer = self._worker.receive(deadline, self.timeout)
                if kind == "result":
                    chunks.append(answer)
                    break
                if self.on_sample is not None:
                    self.on_sample(start + answer, len(batch))
        return chunks

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
            return WorkerProcess(directory, [self._layers, skip, *self.model.input_shape])
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise

    def _numbers(self, driven: bool) -> list[int]:
        """The built layers' numbers in the file, in Lava's order."""
        skipped = None if driven else self.model.input_layer
        return [layer.number for layer in self.model.spiking_layers if layer is not skipped]

    def _chunk(self, steps: int, indices: list[int]) -> int:
        """Samples in one message."""
        bytes_a_step = prod(self.model.input_shape) + self.model.outputs
        bytes_a_step += (
            9 * sum(prod(layer.shape) for layer in self.model.spiking_layers) * bool(indices)
        )
        return max(1, _CHUNK_BYTES // (bytes_a_step * steps))

    def _nothing(self, numbers: list[int], steps: int, indices: list[int]) -> Arrays:
        """What the worker would answer to no samples."""
        sizes = {layer.number: prod(layer.shape) for layer in self.model.spiking_layers}
        outputs = self.model.outputs
        answer: Arrays = {
            "spikes": np.zeros((0, outputs, steps), dtype=np.uint8),
            "membrane": np.zeros((0, outputs), dtype=np.int32),
        }
        for index in indices:
            shape = (0, sizes[numbers[index]], steps)
            answer[f"{index}/spikes"] = np.zeros(shape, dtype=np.uint8)
            answer[f"{index}/u"] = answer[f"{index}/v"] = np.zeros(shape, dtype=np.int32)
        return answer


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


def _as_array(inputs: Inputs) -> tuple[Array, int]:
    """Plain numpy and the number of steps."""
    if isinstance(inputs, Drive):
        return inputs.bias_mant.detach().cpu().to(torch.int32).numpy(), inputs.steps
    return inputs.detach().cpu().to(torch.uint8).numpy(), int(inputs.shape[4])
