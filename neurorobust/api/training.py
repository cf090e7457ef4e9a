"""Train a network from nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from neurorobust import datasets
from neurorobust.evaluation import Progress
from neurorobust.networks import NetworkSpec
from neurorobust.records import Card, Rate, rate
from neurorobust.support import schema
from neurorobust.training import load_run, recipe
from neurorobust.training import train as train_network
from neurorobust.training.recipes import DATASETS


@dataclass(frozen=True)
class Trained:
    """A finished training run.

    Attributes:
        folder: the run directory; `export_run` takes it.
        card: how the network is fed and read, and how it was trained.
        epochs: that were trained.
        best_epoch: the one whose weights were kept.
        validation: right answers of those weights to the samples that were held out.
        seconds: that it took.
    """

    folder: Path
    card: Card
    epochs: int
    best_epoch: int
    validation: Rate
    seconds: float


def train(
    out: Path | str,
    network: str = "mlp",
    dataset: str = "digits",
    *,
    data_dir: Path | None = None,
    download: bool = False,
    encoder: str | None = None,
    steps: int | None = None,
    epochs: int | None = None,
    batch: int | None = None,
    lr: float | None = None,
    patience: int | None = None,
    limit: int | None = None,
    defence: str = "none",
    bin_us: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    command: str = "",
) -> Trained:
    """Train a quantised CUBA network with SLAYER; the best validation epoch is kept.

    What is None is as the recipe of network and data set has it.

    Args:
        out: the run directory.
        network: `mlp`, `cnn`, `recurrent` or `delayed`.
        dataset: name, as in `datasets.load`.
        data_dir: where the data sets lie.
        download: fetch a missing set.
        encoder: name of the code that turns x into inputs.
        steps: time steps of a sample.
        epochs: at most.
        batch: samples a batch.
        lr: Adam's rate at the start.
        patience: epochs without improvement before training stops.
        limit: training samples used.
        defence: name of one, or one of your own as `module:factory`.
        bin_us: event files: width of a step in microseconds.
        seed: of weights and batches.
        device: `cpu` or `cuda`.
        resume: go on with the run in `out`, if there is one.
        overwrite: replace the run in `out`.
        progress: told (done, total, what) after every batch.
        command: how it was asked, for the card.

    Raises:
        BadInput: a value that no network can have, or a run to resume that has other settings.
        DatasetError: the data are missing or do not fit the network.
        OutputError: `out` holds something and neither `resume` nor `overwrite` was given.
        UnavailableError: lava-dl or a CUDA device is not there.

    Example:
        >>> try:
        ...     train("runs/a", steps=0)
        ... except BadInput as error:
        ...     print(error)
        train: steps is 0, need at least 1
    """
    example = None
    if dataset not in DATASETS:
        example = datasets.load(dataset, "train", data_dir, download, steps=steps, bin_us=bin_us)
    spec, chosen = recipe(network, dataset, example)
    shape = _given(encoder=encoder, steps=steps)
    spec = schema.validated({**spec.model_dump(), **shape}, NetworkSpec, "train")
    told = _given(epochs=epochs, batch=batch, lr=lr, patience=patience, limit=limit)
    folder = train_network(
        spec,
        dataset,
        Path(out),
        replace(chosen, seed=seed, device=device, defence=defence, **told),
        data_dir=data_dir,
        download=download,
        bin_us=bin_us,
        resume=resume,
        overwrite=overwrite,
        progress=progress,
        command=command,
    )
    _, card, report = load_run(folder)
    return Trained(
        folder=folder,
        card=card,
        epochs=card.training["epochs"],
        best_epoch=card.training["best_epoch"],
        validation=rate(**card.training["validation"]),
        seconds=report["seconds"],
    )


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
