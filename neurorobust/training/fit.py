"""`train`: the one entry point."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from neurorobust import datasets, provenance
from neurorobust.datasets import Dataset
from neurorobust.errors import UnavailableError
from neurorobust.networks import NetworkSpec, build
from neurorobust.records import Card, EncoderCard
from neurorobust.support.lock import locked
from neurorobust.training import checkpoint, defences, rundir
from neurorobust.training.checkpoint import State
from neurorobust.training.data import Batches, check_fit, encoder_of, split
from neurorobust.training.defences import find_defence
from neurorobust.training.options import TrainOptions

if TYPE_CHECKING:
    from neurorobust.training.loop import Progress


def train(
    spec: NetworkSpec,
    dataset: str,
    out: Path,
    options: TrainOptions | None = None,
    *,
    data_dir: Path | None = None,
    download: bool = False,
    bin_us: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    command: str = "",
) -> Path:
    """Train a network from nothing and leave a run directory.

    Only the training split is read; the epoch is chosen on a part of it that is held out. The
    network is trained as it will be deployed: lava-dl's blocks quantise weights and state in every
    forward pass. Ctrl-C loses the epoch under way and nothing else; with `resume` the run goes on
    and ends in the weights that it would have ended in (bit for bit on one kind of CPU). Resuming a
    finished run returns at once.

    Args:
        spec: the network.
        dataset: as in `neurorobust.datasets.load`.
        data_dir: as there.
        download: as there.
        bin_us: as there; events are binned into the network's steps.
        out: the run directory (see rundir.py).
        options: None: the defaults.
        resume: continue the run in `out`, if there is one; else begin.
        overwrite: replace the run in `out`.
        progress: called after every batch with (done, total, what).
        command: the command line, for the card.

    Returns:
        `out`.

    Raises:
        DatasetError: the data are missing or do not fit the network.
        OutputError: `out` holds something and neither `resume` nor `overwrite` was given, or cannot
        be written.
        UnavailableError: lava-dl or a CUDA device is not there.
        BadInput: the run to resume is damaged or was begun with other settings.
        KeyboardInterrupt: Ctrl-C.

    Example:
        >>> from neurorobust.training import TrainOptions, recipe, train
        >>> spec, _ = recipe("mlp", "digits")
        >>> train(spec, "digits", Path("runs/a"), TrainOptions(epochs=1, limit=100)).name
        'a'
    """
    options = options or TrainOptions()
    if options.device == "cuda" and not torch.cuda.is_available():
        raise UnavailableError("train: device cuda: torch finds no CUDA device here, use cpu")
    data = datasets.load(
        dataset, "train", data_dir, download, options.limit, steps=spec.steps, bin_us=bin_us
    )
    check_fit(spec, data)
    parts = split(data, options.validation, options.seed)
    with locked(out):
        rundir.prepare(out, resume, overwrite)
        settings = _settings(spec, data, options, bin_us)
        if (out / rundir.TRAINING).exists():
            _, _, finished = rundir.load_run(out)
            checkpoint.check_settings(out, finished.get("settings", {}), settings)
            return out
        state = _run(spec, parts, options, out / rundir.LAST, settings, progress or _mute)
        assert state.best is not None
        rundir.save_run(
            out,
            spec,
            state.best,
            _card(spec, data, options, state, command),
            _report(settings, data, options, state, command),
        )
    return out


def _run(
    spec: NetworkSpec,
    parts: tuple[Dataset, Dataset],
    options: TrainOptions,
    last: Path,
    settings: dict[str, Any],
    progress: Progress,
) -> State:
    state = checkpoint.load(last, settings) if last.exists() else State()
    if state.exhausted(options):
        return state
    defence = find_defence(options.defence)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = build(spec)
        own = defence.parameters(network)
    try:  # not before: Lightning takes seconds, and fails where torchvision does not fit torch
        from neurorobust.training import loop
    except (ImportError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UnavailableError(f"train: Lightning cannot be imported here ({reason})") from error
    learner = loop.Learner(
        network,
        encoder_of(spec),
        options,
        defence,
        own,
        state,
        keep=lambda state: checkpoint.save(last, state, settings),
        progress=progress,
    )
    training, validation = parts
    return loop.fit(
        learner,
        Batches(training, options.batch, order=lambda: learner.order(len(training))),
        Batches(validation, options.batch),
    )


def _mute(done: int, total: int, what: str) -> None:
    pass


def _settings(
    spec: NetworkSpec, data: Dataset, options: TrainOptions, bin_us: int | None
) -> dict[str, Any]:
    """What decides the weights; a resumed run must agree. The device may change."""
    chosen = asdict(options)
    del chosen["device"]
    chosen["defence"] = defences.settings(find_defence(options.defence))
    return {
        "dataset": data.name,
        "data": data.digest(),
        "bin_us": bin_us,
        **chosen,
        "network": spec.model_dump(mode="json"),
    }


def _card(
    spec: NetworkSpec, data: Dataset, options: TrainOptions, state: State, command: str
) -> Card:
    best = state.best_epoch
    return Card(
        name=f"{spec.kind} on {data.name}",
        dataset=data.name,
        encoder=EncoderCard(kind=spec.encoder, mean=spec.mean, std=spec.std, gain=spec.gain),
        steps=spec.steps,
        readout="count",
        training={
            "command": command,
            "split": data.split,
            "seed": options.seed,
            "epochs": len(state.history),
            "best_epoch": best.number,
            "validation": {"correct": best.correct, "total": best.total},
            "defence": find_defence(options.defence).name,
        },
    )


def _report(
    settings: dict[str, Any], data: Dataset, options: TrainOptions, state: State, command: str
) -> dict[str, Any]:
    return {
        "version": 1,
        "command": command,
        "settings": settings,
        "device": options.device,
        "split": data.split,
        "samples": len(data),
        "best_epoch": state.best_epoch.number,
        "history": [vars(epoch) for epoch in state.history],
        "seconds": round(sum(epoch.seconds for epoch in state.history), 3),
        "finished": provenance.now().isoformat(timespec="seconds"),
        "versions": provenance.versions(),
        "machine": provenance.machine(),
    }
