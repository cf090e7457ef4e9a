"""`neurorobust parity`: two forms of a network, the same everywhere or the first to differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurorobust.cli import options, own_network
from neurorobust.cli.card_options import NO_OPTIONS, CardOptions, takes_card
from neurorobust.cli.output import session
from neurorobust.errors import BadInput, CheckFailed

if TYPE_CHECKING:
    import torch

    from neurorobust.backends.base import Backend, Clock
    from neurorobust.networks.block_network import BlockNetwork
    from neurorobust.netx.model import NetxModel
    from neurorobust.records import Alignment
    from neurorobust.types import Inputs

VARIABLES = ("spikes", "u", "v")
CLOCKS: dict[Clock, str] = {
    "aligned": "each layer starts from zero when its first data arrive",
    "global": "all layers start together, and each synapse passes on a step late, as on the chip",
}
INEXACT = "WgtScaleBatchNorm is folded to the nearest: lava-dl rounds what it divides"


@takes_card
def parity(
    first: Annotated[str, typer.Argument(help="A training run (SLAYER) or a .net file.")],
    second: Annotated[
        str | None, typer.Argument(help="A .net file; with --from the only one.")
    ] = None,
    source: own_network.From = None,
    weights: own_network.Weights = None,
    input_shape: own_network.InputShape = None,
    samples: own_network.Samples = None,
    backend: options.Backend = "engine",
    dataset: options.DatasetName = None,
    data_dir: options.DataDir = None,
    download: options.Download = False,
    bin_us: options.BinUs = None,
    limit: Annotated[int, typer.Option(help="Samples compared.", min=1)] = 16,
    random: Annotated[
        bool, typer.Option("--random", help="Random inputs: no data set, no card.")
    ] = False,
    described: CardOptions = NO_OPTIONS,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    memory_limit: options.MemoryLimit = None,
    timeout: options.Timeout = None,
    as_json: options.Json = False,
) -> None:
    """Compare SLAYER, reference, engine or Lava layer by layer; exit 1 where they differ.

    FIRST as a run directory is SLAYER's own quantised forward; as a .net file it is the reference.
    SECOND runs on --backend. Inputs are the first samples of --dataset or of the card's data set;
    with --random, inputs that nobody chose. With --from, your own lava-dl network is the first; one
    that was trained with delay_shift and has biases is compared on the global clock, and what
    aligned resets change is told.
    """
    with session(as_json) as output:
        import torch

        from neurorobust import models
        from neurorobust.assess.alignment import alignment
        from neurorobust.backends.base import ALIGNED, GLOBAL
        from neurorobust.backends.parity import parity as check_parity
        from neurorobust.backends.registry import Settings, open_backend

        if (second is None) != (source is not None):
            raise BadInput("parity: give two networks, or --from module:factory and one .net file")
        if random and described != NO_OPTIONS:
            raise BadInput("--random: its inputs need no card; leave out the options of one")
        deployed = first if second is None else second
        if source is None:
            own_network.only_with_from(weights=weights, input_shape=input_shape, samples=samples)
            opened = _first(first)
        else:
            opened = _foreign(own_network.load(source, weights, input_shape, samples))
        model = models.locate_model(deployed)
        cost: Alignment | None = None
        with (
            opened as left,
            open_backend(backend, model, Settings(device, memory_limit, timeout)) as right,
        ):
            clock = trained_clock(left)
            if clock == GLOBAL and backend == "lava":
                output.console.print(
                    "trained with delay_shift (layers one step late each): Lava's backend resets "
                    "every sample, so it is compared without"
                )
                clock = ALIGNED
            generator = torch.Generator().manual_seed(seed)
            if random:
                origin, inputs = "random", random_inputs(model, limit, generator)
            else:
                network = described.network(deployed)
                data = options.load(network, dataset, data_dir, download, limit, bin_us)
                x, _ = data.batch(0, limit)
                origin = data.name
                inputs = network.encoder.encode(x, generator)
                if clock == GLOBAL:
                    cost = alignment(network.classifier(right), data, seed)
            variables = getattr(left, "variables", VARIABLES)
            result = check_parity(left, right, inputs, variables=variables, clock=clock)
        told = {} if cost is None else {"alignment": cost.model_dump(mode="json")}
        output.result(**result.model_dump(mode="json"), inputs=origin, **told)
        if not result.identical:
            exported = getattr(left, "exported", None)
            why = "" if exported is None or exported.exact else f" ({INEXACT})"
            raise CheckFailed(f"not identical: {result.first_difference}{why}")
        what = ", ".join(result.variables)
        output.console.print(
            f"identical: {result.first} and {result.second}, {result.samples} samples of {origin}, "
            f"{clock} clock, layers {', '.join(str(number) for number in result.layers)} ({what})"
        )
        output.console.print(f"{clock} clock: {CLOCKS[clock]}")
        if cost is not None:
            output.console.print(alignment_sentence(cost))


@contextmanager
def _first(reference: str) -> Iterator[Backend]:
    from neurorobust.backends.registry import open_backend
    from neurorobust.models import locate_model

    if Path(reference).suffix == ".net" or not Path(reference).is_dir():
        with open_backend("reference", locate_model(reference)) as backend:
            yield backend
        return
    from neurorobust.training import load_run

    with _foreign(load_run(Path(reference))[0]) as backend:
        yield backend


@contextmanager
def _foreign(network: BlockNetwork) -> Iterator[Backend]:
    from neurorobust.backends.slayer.backend import SlayerBackend

    yield SlayerBackend(network, precision="quantised")


def trained_clock(backend: Backend) -> Clock:
    """`global` for a network that was trained with `delay_shift` and has biases."""
    from neurorobust.backends.base import ALIGNED, GLOBAL

    exported = getattr(backend, "exported", None)
    return GLOBAL if exported is not None and exported.global_clock else ALIGNED


def alignment_sentence(cost: Alignment) -> str:
    """What aligned resets change, in words."""
    late, aligned = cost.as_trained, cost.aligned
    return (
        f"aligned resets change {cost.label_changes} of {aligned.total} labels: "
        f"{late.correct} right as trained (delay_shift: all layers start together), "
        f"{aligned.correct} where each layer starts when its data arrive (aligned)"
    )


def random_inputs(
    model: NetxModel, samples: int, generator: torch.Generator, steps: int = 32
) -> Inputs:
    """Uniform drive of the input layer's own scale, or spikes with probability 0.2."""
    import torch

    from neurorobust.types import Inputs

    shape = (samples, *model.input_shape)
    layer = model.input_layer
    if layer is not None:
        x = torch.rand(shape, generator=generator, dtype=torch.float64)
        drive = (abs(layer.weight) * x + layer.bias).trunc()
        return Inputs.drive(drive.clamp(-(1 << 15), (1 << 15) - 1).to(torch.int32), steps)
    return Inputs.of((torch.rand((*shape, steps), generator=generator) < 0.2).to(torch.uint8))
