"""How to train, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from neurorobust.errors import BadInput
from neurorobust.training.defences import find_defence

DEVICES = ("cpu", "cuda")


@dataclass(frozen=True)
class TrainOptions:
    """Settings of one training run; with the seed they decide the weights (on one kind of machine).

    Attributes:
        epochs: at most so many passes over the training part.
        batch: samples a step.
        lr: Adam's rate at the start, in (0, 1]; it falls to 0 along half a cosine over `epochs`.
        seed: of initial weights, validation part, order of samples and Poisson draws.
        device: `cpu` or `cuda`.
        patience: stop after so many epochs without a better validation result.
        validation: share of the training split that is held out for choosing the epoch.
        defence: one of `defences.DEFENCES`, or `module:factory` (`defences.find_defence`).
        limit: train on the first so many samples of the split; None: on all.
    """

    epochs: int = 30
    batch: int = 64
    lr: float = 2e-3
    seed: int = 0
    device: str = "cpu"
    patience: int = 10
    validation: float = 0.1
    limit: int | None = None
    defence: str = "none"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "patience"):
            if getattr(self, name) < 1:
                raise BadInput(f"train: {name} {getattr(self, name)} below 1")
        if not 0 < self.lr <= 1:
            raise BadInput(f"train: lr {self.lr} outside (0, 1]")
        if not 0 <= self.seed < 1 << 63:
            raise BadInput(f"train: seed {self.seed} outside [0, 2^63)")
        if self.device not in DEVICES:
            raise BadInput(f"train: device {self.device!r} unknown, known: {', '.join(DEVICES)}")
        if not 0 < self.validation < 1:
            raise BadInput(f"train: validation share {self.validation} outside (0, 1)")
        if self.limit is not None and self.limit < 1:
            raise BadInput(f"train: limit {self.limit} below 1")
        find_defence(self.defence)
