"""A network on inputs of your own, on any backend."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurorobust.backends.registry import Settings, open_backend
from neurorobust.errors import BadInput, OutputError
from neurorobust.evaluation.query import Arrays
from neurorobust.models import locate_model
from neurorobust.support import files
from neurorobust.types import Inputs, Run, Spikes


@dataclass(frozen=True, eq=False)
class Ran:
    """One run.

    Attributes:
        run: output spikes `[samples, neurons, steps]`, membranes, and recorded layers.
        backend: where it ran; `target`: that in words.
        seconds: that it took.
        samples_per_second: None where it took no time.
        measured: what the backend tells of its runs.
    """

    run: Run
    backend: str
    target: str
    seconds: float
    samples_per_second: float | None
    measured: dict[str, Any]


def run(
    reference: str | Path,
    inputs: Inputs | Spikes | Path | str,
    *,
    backend: str = "engine",
    settings: Settings | None = None,
    record: bool = False,
    out: Path | str | None = None,
    overwrite: bool = False,
) -> Ran:
    """Run a network; no card is needed, inputs are what goes into its first layer.

    Args:
        reference: a name, or the path of a `.net` file.
        inputs: spikes uint8 `[samples, C, H, W, steps]`, `Inputs` (of drive: int32 bias `[samples,
            C, H, W]` and steps), or an .npz file of `spikes`, or of `drive` and `steps`.
        backend: `engine`, `reference`, `lava`, `loihi2`, or one of your own as `module:factory`.
        settings: how that runs.
        record: every layer's spikes, u and v too.
        out: an .npz file for `spikes`, `membrane` and recorded layers; None: none is written.
        overwrite: replace it.

    Raises:
        BadInput: neither a name nor a file, or inputs that do not fit.
        OutputError: `out` is there already, or cannot be written.
        BackendError: the backend failed.

    Example:
        >>> import torch
        >>> from neurorobust.types import Inputs
        >>> drive = Inputs.drive(torch.zeros((2, 1, 8, 8), dtype=torch.int32), 16)
        >>> run("digits-mlp", drive).run.spikes.shape
        torch.Size([2, 10, 16])
    """
    file = None if out is None else Path(out)
    if file is not None and file.exists() and not overwrite:
        raise OutputError(f"{file}: exists already; --overwrite replaces it")
    network = locate_model(str(reference))
    given = read_inputs(Path(inputs)) if isinstance(inputs, (str, Path)) else Inputs.of(inputs)
    if file is not None:
        files.probe(file.parent)
    running = network.running_layers(given.driven) if record else ()
    with open_backend(backend, network, settings or Settings()) as target:
        begun = time.perf_counter()
        result = target.run(given, record=[layer.number for layer in running])
        seconds = time.perf_counter() - begun
        told = target.measured()
        name, about = target.name, target.about
    if file is not None:
        files.write_npz(file, _arrays(result))
    speed = told.get("samples_per_second") or (len(result.spikes) / seconds if seconds else None)
    return Ran(result, name, about, seconds, speed, told)


def read_inputs(path: Path) -> Inputs:
    """`spikes` uint8 [N,C,H,W,T], or `drive` int32 [N,C,H,W] with `steps`.

    Raises:
        BadInput: a missing or superfluous array, or a wrong type; names the array.
    """
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
        return Inputs.of(torch.from_numpy(spikes.astype(np.uint8, copy=False)))
    drive, steps = found["drive"], found["steps"]
    if not np.issubdtype(drive.dtype, np.integer):
        raise BadInput(f"{path}: drive is {drive.dtype}, need int32")
    if steps.size != 1 or not np.issubdtype(steps.dtype, np.integer):
        raise BadInput(f"{path}: steps must be one integer")
    if drive.ndim != 4:
        raise BadInput(f"{path}: drive has {drive.ndim} axes, need 4 (N, C, H, W)")
    return Inputs.drive(torch.from_numpy(drive.astype(np.int64)), int(steps.item()))


def _arrays(run: Run) -> Arrays:
    """The arrays of `out.npz`."""
    out: Arrays = {"spikes": run.spikes.numpy(), "membrane": run.membrane.numpy()}
    for number, trace in run.layers.items():
        out[f"layer{number}/spikes"] = trace.spikes.numpy()
        out[f"layer{number}/u"] = trace.u.numpy()
        out[f"layer{number}/v"] = trace.v.numpy()
    return out
