"""`neurorobust train`: a SLAYER network from nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurorobust.cli import options
from neurorobust.cli.output import command_line, session
from neurorobust.cli.usage import one_of

if TYPE_CHECKING:
    from neurorobust.networks import NetworkSpec


def train(
    out: Annotated[Path, typer.Option(help="The run directory.")],
    network: Annotated[
        str,
        typer.Option(
            help="mlp, cnn, recurrent or delayed.", callback=one_of("--network", options.NETWORKS)
        ),
    ] = "mlp",
    dataset: Annotated[str, typer.Option(help="As for evaluate.")] = "digits",
    data_dir: options.DataDir = None,
    download: options.Download = False,
    encoder: options.Encoder = None,
    steps: options.Steps = None,
    epochs: Annotated[int | None, typer.Option(min=1)] = None,
    batch: Annotated[int | None, typer.Option(min=1)] = None,
    lr: Annotated[float | None, typer.Option(help="Adam's rate at the start.")] = None,
    patience: Annotated[int | None, typer.Option(min=1, help="Early stopping, epochs.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Training samples used.")] = None,
    defence: Annotated[
        str,
        typer.Option(
            help="How it is defended; a wrong name lists them. Or your own, as module:factory."
        ),
    ] = "none",
    bin_us: options.BinUs = None,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Train a quantised CUBA network with SLAYER; the best validation epoch is kept."""
    with session(as_json, resumable=True) as output:
        from neurorobust import datasets
        from neurorobust.training import load_run, recipe
        from neurorobust.training import train as train_network
        from neurorobust.training.recipes import DATASETS

        example = None
        if dataset not in DATASETS:
            example = datasets.load(
                dataset, "train", data_dir, download, steps=steps, bin_us=bin_us
            )
        spec, chosen = recipe(network, dataset, example)
        spec = changed(spec, encoder=encoder, steps=steps)
        chosen = replace(
            chosen,
            seed=seed,
            device=device,
            defence=defence,
            **_given(epochs=epochs, batch=batch, lr=lr, patience=patience, limit=limit),
        )
        with output.progress() as bars:
            train_network(
                spec,
                dataset,
                out,
                chosen,
                data_dir=data_dir,
                download=download,
                bin_us=bin_us,
                resume=resume,
                overwrite=overwrite,
                progress=bars,
                command=command_line(),
            )
        _, card, report = load_run(out)
        best = card.training["validation"]
        output.result(
            run=str(out),
            epochs=card.training["epochs"],
            best_epoch=card.training["best_epoch"],
            validation=best,
            seconds=report["seconds"],
        )
        output.console.print(
            f"{out}: {card.training['epochs']} epochs, best {card.training['best_epoch']}, "
            f"validation {best['correct']}/{best['total']}, {report['seconds']:.0f} s"
        )


def changed(spec: NetworkSpec, **values: Any) -> NetworkSpec:
    """The spec with what the command line gives.

    Raises:
        BadInput: a value that no network can have; names the field.
    """
    from neurorobust.networks import NetworkSpec
    from neurorobust.support import schema

    return schema.validated({**spec.model_dump(), **_given(**values)}, NetworkSpec, "train")


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
