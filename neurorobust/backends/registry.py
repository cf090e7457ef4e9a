"""Where a network runs: the backends by name, opened and closed; imported when used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from neurorobust.backends.base import Backend
from neurorobust.errors import BadInput
from neurorobust.netx.model import NetxModel
from neurorobust.support.names import unknown


@dataclass(frozen=True)
class Settings:
    """How a target runs; every target takes what concerns it.

    Attributes:
        device: `cpu`, or `cuda` for the engine.
        memory_limit: MiB the engine may use beside inputs and answers; None: its own default.
        timeout: seconds that one batch in Lava or on a board may take; None: its own default.
        workers: copies of the network that Lava runs side by side; None: its own default.
        worker_memory: MiB that each of Lava's processes may allocate beyond its start; None: all.
        sparse: let Lava hold fully connected layers as sparse processes.
    """

    device: str = "cpu"
    memory_limit: int | None = None
    timeout: float | None = None
    workers: int | None = None
    worker_memory: int | None = None
    sparse: bool = False


def _reference(model: NetxModel, settings: Settings) -> Backend:
    from neurorobust.backends.reference.backend import ReferenceBackend

    return ReferenceBackend(model)


def _engine(model: NetxModel, settings: Settings) -> Backend:
    from neurorobust.backends.engine import EngineBackend

    if settings.memory_limit is None:
        return EngineBackend(model, settings.device)
    return EngineBackend(model, settings.device, memory_limit=settings.memory_limit << 20)


def _lava(model: NetxModel, settings: Settings) -> Backend:
    from neurorobust.backends.lava.backend import TIMEOUT, LavaBackend

    return LavaBackend(
        model,
        TIMEOUT if settings.timeout is None else settings.timeout,
        workers=settings.workers,
        memory_limit=settings.worker_memory,
        sparse=settings.sparse,
    )


def _loihi2(model: NetxModel, settings: Settings) -> Backend:
    from neurorobust.backends.loihi2.backend import TIMEOUT, Loihi2Backend

    return Loihi2Backend(model, TIMEOUT if settings.timeout is None else settings.timeout)


BACKENDS: dict[str, Callable[[NetxModel, Settings], Backend]] = {
    "engine": _engine,
    "reference": _reference,
    "lava": _lava,
    "loihi2": _loihi2,
}
TARGETS = {
    "engine": "Lava's fixed-point integers, computed by neurorobust's engine",
    "reference": "Lava's fixed-point integers, computed by neurorobust's reference",
    "lava": "Lava's fixed-point simulation on this CPU",
    "loihi2": "a Loihi 2 board, through a path that is untested on hardware",
    "slayer": "SLAYER (lava-dl) on this CPU, before export",
}
# samples that one query of an attack may hold: enough to keep the target busy, few enough to answer
# in seconds (Lava runs one after the other, a board too)
QUERY_BATCH = {"engine": 256, "reference": 8, "slayer": 128, "lava": 16, "loihi2": 16}


def query_batch(backend: Backend) -> int:
    """How many samples a target likes to be asked about at once."""
    return QUERY_BATCH.get(backend.name, 64)


@contextmanager
def open_backend(
    name: str, model: NetxModel, settings: Settings | None = None
) -> Iterator[Backend]:
    """A target by name; closed (worker processes ended) when the block ends.

    Raises:
        BadInput: unknown name.
        UnavailableError: it needs something that is not installed.
    """
    if name not in BACKENDS:
        raise BadInput(unknown("backend", name, BACKENDS))
    settings = settings or Settings()
    if name != "engine" and settings.device != "cpu":
        raise BadInput(f"backend {name}: runs on the CPU only, not on device {settings.device!r}")
    backend = BACKENDS[name](model, settings)
    try:
        yield backend
    finally:
        close = getattr(backend, "close", None)
        if close is not None:
            close()


def parse_replay(option: str, text: str) -> tuple[str, int]:
    """`lava:32`: the backend that replays samples, and how many.

    Args:
        option: names it in messages.
        text: as typed.

    Raises:
        BadInput: not of that form, or an unknown backend.
    """
    name, _, count = text.partition(":")
    if name not in BACKENDS:
        raise BadInput(unknown(f"{option} {text}: backend", name, BACKENDS))
    if not count.isdigit() or int(count) < 1:
        raise BadInput(f"{option} {text}: needs a number of samples, as in {name}:32")
    return name, int(count)
