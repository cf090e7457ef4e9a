"""Where a network runs: the backends by name, imported when they are opened, and closed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neurorobust.errors import BadInput
from neurorobust.support import user_code
from neurorobust.support.names import unknown

if TYPE_CHECKING:  # backends are listed without torch
    from neurorobust.backends.base import Backend
    from neurorobust.netx.model import NetxModel


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


@dataclass(frozen=True)
class Target:
    """What is known of a backend before it is imported; all else stands on the backend itself.

    Attributes:
        name: on the command line and in records.
        words: how reports call it, after "confirmed in".
        make: opens it for a network; imports what it needs. None: it runs no `.net` file.
        devices: on which it computes; a number may follow, as in `cuda:1`.
        chip: whether its answers are those of a neuromorphic chip, not of a processor.
    """

    name: str
    words: str
    make: Callable[[NetxModel, Settings], Backend] | None
    devices: tuple[str, ...] = ("cpu",)
    chip: bool = False


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


_ALL = (
    Target("engine", "neurorobust's engine", _engine, ("cpu", "cuda")),
    Target("reference", "the reference loops", _reference),
    Target("lava", "Lava's fixed-point simulation", _lava),
    Target("loihi2", "the Loihi 2 board", _loihi2, chip=True),
    Target("slayer", "SLAYER", None),  # opened on a run directory, by `models`
)
BACKENDS: dict[str, Target] = {target.name: target for target in _ALL}


def backend_names() -> list[str]:
    """Of those that run a `.net` file."""
    return [target.name for target in BACKENDS.values() if target.make is not None]


def find_target(name: str) -> Target:
    """A backend by name, or `module:factory` of the user's own code, which returns a `Target`.

    Raises:
        BadInput: unknown name, or see `user_code.member`.
    """
    return user_code.member("backend", name, BACKENDS, Target)


def openable(name: str) -> Target:
    """As `find_target`, of those that run a `.net` file.

    Raises:
        BadInput: see `find_target`; or it runs none.
    """
    target = find_target(name) if ":" in name else BACKENDS.get(name)
    if target is None or target.make is None:
        raise BadInput(unknown("backend", name, backend_names()))
    return target


@contextmanager
def open_backend(
    name: str, model: NetxModel, settings: Settings | None = None
) -> Iterator[Backend]:
    """A backend by name (see `find_target`); closed (worker processes ended) when the block ends.

    Raises:
        BadInput: unknown name, or a device on which it does not compute.
        UnavailableError: it needs something that is not installed.
    """
    target, settings = openable(name), settings or Settings()
    if settings.device.partition(":")[0] not in target.devices:
        raise BadInput(
            f"backend {name}: runs on {' and '.join(target.devices)} only, not on device "
            f"{settings.device!r}"
        )
    assert target.make is not None, "openable"
    backend = target.make(model, settings)
    try:
        yield backend
    finally:
        backend.close()


def parse_replay(option: str, text: str) -> tuple[str, int]:
    """`lava:32`: the backend that replays samples, and how many.

    Args:
        option: names it in messages.
        text: as typed.

    Raises:
        BadInput: not of that form, or an unknown backend.
    """
    name, _, count = text.rpartition(":")
    if not (count.isascii() and count.isdigit()) or int(count) < 1:
        raise BadInput(f"{option} {text}: needs a number of samples, as in lava:32")
    try:
        return openable(name).name, int(count)
    except BadInput as error:
        raise BadInput(f"{option} {text}: {error}") from None
