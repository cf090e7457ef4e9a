"""`neurorobust run`: a network on a file of inputs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurorobust.cli import options
from neurorobust.cli.output import session
from neurorobust.errors import BadInput, OutputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from neurorobust.types import Inputs, Run

    Arrays = dict[str, npt.NDArray[np.generic]]


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
        from neurorobust.backends.registry import Settings, open_backend
        from neurorobust.models import locate_model
        from neurorobust.support import files
        from neurorobust.types import Drive

        if out.exists() and not overwrite:
            raise OutputError(f"{out}: exists already; --overwrite replaces it")
        network = locate_model(model)
        inputs = read_inputs(source)
        files.probe(out.parent)
        layers = [layer.number for layer in network.spiking_layers] if record else []
        if record and not isinstance(inputs, Drive) and network.input_layer is not None:
            layers = layers[1:]  # spikes go to the first synapse: the input layer does not run
        settings = Settings(device, memory_limit, timeout, workers, worker_memory, sparse)
        with open_backend(backend, network, settings) as target:
            begun = time.perf_counter()
            result = target.run(inputs, record=layers)
            seconds = time.perf_counter() - begun
            told = target.measured()
        files.write_npz(out, arrays(result))
        samples, neurons, steps = result.spikes.shape
        rate = told.get("samples_per_second") or (samples / seconds if seconds else None)
        output.result(
            samples=samples,
            neurons=neurons,
            steps=steps,
            backend=target.name,
            target=target.about,
            out=str(out),
            seconds=round(seconds, 3),
            samples_per_second=rate and round(rate, 2),
            measured=told,
        )
        output.console.print(
            f"{samples} samples, {steps} steps, {int(result.spikes.sum())} output spikes → {out}"
        )
        output.console.print(f"{target.about}: {speed(rate, seconds, told)}")


def speed(rate: float | None, seconds: float, told: dict[str, Any]) -> str:
    """`92.7 samples/s (3.1 s, 2.4 of them to start)`, and the note of a target that has one."""
    start = told.get("starting_seconds")
    words = f"{rate or 0.0:.1f} samples/s ({seconds:.1f} s"
    words += f", {start:.1f} of them to start)" if start else ")"
    return f"{words}; {told['note']}" if "note" in told else words


def read_inputs(path: Path) -> Inputs:
    """`spikes` uint8 [N,C,H,W,T], or `drive` int32 [N,C,H,W] with `steps`.

    Raises:
        BadInput: a missing or superfluous array, or a wrong type; names the array.
    """
    import numpy as np
    import torch

    from neurorobust.support import files
    from neurorobust.types import Drive

    present = set(files.npz_names(path))
    if present not in ({"spikes"}, {"drive", "steps"}):
        shown = ", ".join(ascii(name[:40]) for name in sorted(present)[:8])
        raise BadInput(
            f"{path}: holds {len(present)} arrays ({shown}), need spikes, or drive and steps"
        )
    found = files.read_npz(path, limit=files.foreign_limit(path))
    if "spikes" in found:
        spikes = found["spikes"]
        if spikes.dtype not in (np.dtype(np.uint8), np.dtype(np.bool_)):
            raise BadInput(f"{path}: spikes is {spikes.dtype}, need uint8")
        return torch.from_numpy(spikes.astype(np.uint8, copy=False))
    drive, steps = found["drive"], found["steps"]
    if not np.issubdtype(drive.dtype, np.integer):
        raise BadInput(f"{path}: drive is {drive.dtype}, need int32")
    if steps.size != 1 or not np.issubdtype(steps.dtype, np.integer):
        raise BadInput(f"{path}: steps must be one integer")
    if drive.ndim != 4:
        raise BadInput(f"{path}: drive has {drive.ndim} axes, need 4 (N, C, H, W)")
    return Drive(torch.from_numpy(drive.astype(np.int64)), int(steps.item()))


def arrays(run: Run) -> Arrays:
    """The arrays of `out.npz`."""
    out: Arrays = {"spikes": run.spikes.numpy(), "membrane": run.membrane.numpy()}
    for number, trace in run.layers.items():
        out[f"layer{number}/spikes"] = trace.spikes.numpy()
        out[f"layer{number}/u"] = trace.u.numpy()
        out[f"layer{number}/v"] = trace.v.numpy()
    return out
