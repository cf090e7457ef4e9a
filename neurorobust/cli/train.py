"""`neurorobust train`: a SLAYER network from nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neurorobust.cli import options
from neurorobust.cli.output import command_line, session
from neurorobust.cli.usage import one_of


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
        typer.Option(help="How it is defended: none, or your own, as module:factory."),
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
        from neurorobust import api

        with output.progress() as bars:
            made = api.train(
                out,
                network,
                dataset,
                data_dir=data_dir,
                download=download,
                encoder=encoder,
                steps=steps,
                epochs=epochs,
                batch=batch,
                lr=lr,
                patience=patience,
                limit=limit,
                defence=defence,
                bin_us=bin_us,
                seed=seed,
                device=device,
                resume=resume,
                overwrite=overwrite,
                progress=bars,
                command=command_line(),
            )
        right, total = made.validation.correct, made.validation.total
        output.result(
            run=str(out),
            epochs=made.epochs,
            best_epoch=made.best_epoch,
            validation={"correct": right, "total": total},
            seconds=made.seconds,
        )
        output.console.print(
            f"{out}: {made.epochs} epochs, best {made.best_epoch}, "
            f"validation {right}/{total}, {made.seconds:.0f} s"
        )
