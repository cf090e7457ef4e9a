"""`neurorobust run`: a network on a file of inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from neurorobust.cli import options
from neurorobust.cli.output import session


def run(
    model: Annotated[str, typer.Argument(help="A .net file or a network's name.")],
    source: Annotated[Path, typer.Option("--input", help="npz: spikes, or drive and steps.")],
    out: Annotated[Path, typer.Option(help="npz: spikes, membrane and recorded layers.")],
    backend: options.Backend = "engine",
    device: options.Device = "cpu",
    memory_limit: options.MemoryLimit = None,
    timeout: options.Timeout = None,
    workers: options.Workers = None,
    worker_memory: options.WorkerMemory = None,
    sparse: options.Sparse = False,
    record: Annotated[
        bool, typer.Option("--record", help="Every layer's spikes, u, v too.")
    ] = False,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Run a network on inputs from a file, on any target."""
    with session(as_json) as output:
        from neurorobust import api

        made = api.run(
            model,
            source,
            backend=backend,
            settings=api.Settings(device, memory_limit, timeout, workers, worker_memory, sparse),
            record=record,
            out=out,
            overwrite=overwrite,
        )
        samples, neurons, steps = made.run.spikes.shape
        rate = made.samples_per_second
        output.result(
            samples=samples,
            neurons=neurons,
            steps=steps,
            backend=made.backend,
            target=made.target,
            out=str(out),
            seconds=round(made.seconds, 3),
            samples_per_second=rate and round(rate, 2),
            measured=made.measured,
        )
        output.console.print(
            f"{samples} samples, {steps} steps, {int(made.run.spikes.sum())} output spikes → {out}"
        )
        output.console.print(f"{made.target}: {speed(rate, made.seconds, made.measured)}")


def speed(rate: float | None, seconds: float, told: dict[str, Any]) -> str:
    """`92.7 samples/s (3.1 s, 2.4 of them to start)`, and the note of a target that has one."""
    start = told.get("starting_seconds")
    words = f"{rate or 0.0:.1f} samples/s ({seconds:.1f} s"
    words += f", {start:.1f} of them to start)" if start else ")"
    return f"{words}; {told['note']}" if "note" in told else words
