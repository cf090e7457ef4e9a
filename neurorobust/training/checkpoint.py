"""The state between two epochs, in one file without pickle: safetensors with JSON in its header."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from neurorobust.errors import BadInput
from neurorobust.support.files import atomic
from neurorobust.training.options import TrainOptions

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave.

    Attributes:
        number: from 1.
        loss: mean cross-entropy on the training part.
        validation_loss: the same on the validation part.
        correct, total: on the validation part.
        seconds: wall-clock time.
    """

    number: int
    loss: float
    validation_loss: float
    correct: int
    total: int
    seconds: float

    @property
    def merit(self) -> tuple[int, float]:
        """More correct is better; among equals the smaller loss."""
        return (self.correct, -self.validation_loss)


@dataclass(frozen=True)
class State:
    """All that the next epoch depends on, besides settings and data.

    Attributes:
        history: the epochs so far.
        network: the network's parameters.
        best: those after the best epoch.
        optimiser: Adam's moments, `<parameter>.<name>`.
        own: the defence's parameters.
    """

    history: tuple[Epoch, ...] = ()
    network: Tensors | None = None
    best: Tensors | None = None
    optimiser: Tensors | None = None
    own: Tensors | None = None

    @property
    def best_epoch(self) -> Epoch:
        """The first of the best."""
        return max(self.history, key=lambda epoch: epoch.merit)

    def exhausted(self, options: TrainOptions) -> bool:
        """Nothing is left to do: all epochs done, or no better one for `patience` epochs."""
        done = len(self.history)
        return done > 0 and (
            done >= options.epochs or done - self.best_epoch.number >= options.patience
        )


_PARTS = ("network", "best", "optimiser", "own")


def save(path: Path, state: State, settings: dict[str, Any]) -> None:
    """Write atomically. `settings` is what a resumed run must agree with."""
    tensors = {
        f"{part}/{name}": tensor.detach().cpu().contiguous().clone()
        for part in _PARTS
        for name, tensor in (getattr(state, part) or {}).items()
    }
    header = {"settings": settings, "history": [asdict(epoch) for epoch in state.history]}
    with atomic(path) as temporary:
        save_file(tensors, temporary, {"neurorobust": json.dumps(header)})


def load(path: Path, settings: dict[str, Any]) -> State:
    """Read what `save` wrote.

    Raises:
        BadInput: the file is damaged, or the run was begun with other settings.
    """
    tensors: dict[str, Tensors] = {part: {} for part in _PARTS}
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["neurorobust"])
            for name in file.keys():  # noqa: SIM118 - not a mapping
                part, _, key = name.partition("/")
                tensors[part][key] = file.get_tensor(name)
        history = tuple(Epoch(**entry) for entry in header["history"])
        begun = dict(header["settings"])
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(
            f"{path}: damaged checkpoint ({error}): start anew with --overwrite"
        ) from error
    check_settings(path, begun, settings)
    return State(history, **tensors)


def check_settings(path: Path, begun: dict[str, Any], settings: dict[str, Any]) -> None:
    """Refuse to resume a run under other settings than it was begun with.

    Raises:
        BadInput: names the first setting that differs.
    """
    for name in sorted(begun.keys() | settings.keys()):
        if begun.get(name) != settings.get(name):
            raise BadInput(
                f"{path}: begun with {name} {begun.get(name)}, not {settings.get(name)}: "
                "start anew with --overwrite"
            )
