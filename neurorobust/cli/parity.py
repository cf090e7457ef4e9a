"""`neurorobust parity`: two forms of a network, the same everywhere or the first to differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import torch
import typer

from neurorobust import models
from neurorobust.backends.base import Backend
from neurorobust.cli import options
from neurorobust.cli.output import session
from neurorobust.errors import CheckFailed
from neurorobust.models import locate_model
from neurorobust.netx.model import NetxModel
from neurorobust.parity import parity as check_parity
from neurorobust.targets import Settings, open_backend
from neurorobust.types import Drive, Inputs

VARIABLES = ("spikes", "u", "v")


def parity(
    first: Annotated[str, typer.Argument(help="A training run (SLAYER) or a .net file.")],
    second: Annotated[str, typer.Argument(help="A .net file.")],
    backend: options.Backend = "engine",
    dataset: options.DatasetName = None,
    data_dir: options.DataDir = None,
    download: options.Download = False,
    bin_us: options.BinUs = None,
    limit: Annotated[int, typer.Option(help="Samples compared.", min=1)] = 16,
    random: Annotated[bool, typer.Option("--random", help="Random inputs, no data set.")] = False,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    memory_limit: options.MemoryLimit = None,
    timeout: options.Timeout = None,
    as_json: options.Json = False,
) -> None:
    """Compare SLAYER, reference, engine or Lava layer by layer; exit 1 where they differ.

    FIRST as a run directory is SLAYER's own quantised forward; as a .net file it is the reference.
    SECOND runs on --backend. Inputs are the first samples of --dataset or of the card's data set;
    with --random, inputs that nobody chose.
    """
    with session(as_json) as output:
        model = locate_model(second)
        with (
            _first(first, model) as left,
            open_backend(backend, model, Settings(device, memory_limit, timeout)) as right,
        ):
            generator = torch.Generator().manual_seed(seed)
            if random:
                source, inputs = "random", random_inputs(model, limit, generator)
            else:
                network = options.network(second)
                data = options.load(network, dataset, data_dir, download, limit, bin_us)
                x, _ = data.batch(0, limit)
                source, inputs = data.name, models.encoder(network.card, model).encode(x, generator)
            result = check_parity(left, right, inputs, variables=VARIABLES)
        output.result(**result.model_dump(mode="json"), inputs=source)
        what = ", ".join(result.variables)
        if result.identical:
            output.console.print(
                f"identical: {result.first} and {result.second}, {result.samples} samples "
                f"of {source}, layers {', '.join(str(number) for number in result.layers)} ({what})"
            )
        else:
            raise CheckFailed(f"not identical: {result.first_difference}")


@contextmanager
def _first(reference: str, model: NetxModel) -> Iterator[Backend]:
    if Path(reference).suffix == ".net" or not Path(reference).is_dir():
        with open_backend("reference", locate_model(reference)) as backend:
            yield backend
        return
    from neurorobust.backends.slayer import SlayerBackend
    from neurorobust.training import load_run

    yield SlayerBackend(load_run(Path(reference))[0], precision="quantised")


def random_inputs(
    model: NetxModel, samples: int, generator: torch.Generator, steps: int = 32
) -> Inputs:
    """Uniform drive of the input layer's own scale, or spikes with probability 0.2."""
    shape = (samples, *model.input_shape)
    layer = model.input_layer
    if layer is not None:
        x = torch.rand(shape, generator=generator, dtype=torch.float64)
        drive = (abs(layer.weight) * x + layer.bias).trunc()
        return Drive(drive.clamp(-(1 << 15), (1 << 15) - 1).to(torch.int32), steps)
    return (torch.rand((*shape, steps), generator=generator) < 0.2).to(torch.uint8)
