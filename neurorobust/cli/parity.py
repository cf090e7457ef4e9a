"""`neurorobust parity`: two forms of a network, the same everywhere or the first to differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from neurorobust.cli import options, own_network
from neurorobust.cli.card_options import NO_OPTIONS, CardOptions, takes_card
from neurorobust.cli.output import session
from neurorobust.errors import BadInput, CheckFailed

if TYPE_CHECKING:
    from neurorobust.backends.base import Clock
    from neurorobust.classifier import Network
    from neurorobust.networks.block_network import BlockNetwork
    from neurorobust.records import Alignment

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
        from neurorobust import api

        if (second is None) != (source is not None):
            raise BadInput("parity: give two networks, or --from module:factory and one .net file")
        if random and described != NO_OPTIONS:
            raise BadInput("--random: its inputs need no card; leave out the options of one")
        deployed = first if second is None else second
        form: str | BlockNetwork = first
        if source is None:
            own_network.only_with_from(weights=weights, input_shape=input_shape, samples=samples)
        else:
            form = own_network.load(source, weights, input_shape, samples)
        network: str | Network = deployed
        data = None
        if not random:
            network = described.network(deployed)
            data = api.scored_data(
                network, dataset, data_dir=data_dir, download=download, limit=limit, bin_us=bin_us
            )
        found = api.parity_of(
            form,
            network,
            data,
            limit=limit,
            backend=backend,
            settings=api.Settings(device, memory_limit, timeout),
            seed=seed,
        )
        if found.unshifted:
            output.console.print(
                "trained with delay_shift (layers one step late each): Lava's backend resets "
                "every sample, so it is compared without"
            )
        result, cost = found.result, found.alignment
        told = {} if cost is None else {"alignment": cost.model_dump(mode="json")}
        output.result(**result.model_dump(mode="json"), inputs=found.inputs, **told)
        if not result.identical:
            why = "" if found.exact else f" ({INEXACT})"
            raise CheckFailed(f"not identical: {result.first_difference}{why}")
        what = ", ".join(result.variables)
        output.console.print(
            f"identical: {result.first} and {result.second}, {result.samples} samples of "
            f"{found.inputs}, {result.clock} clock, layers "
            f"{', '.join(str(number) for number in result.layers)} ({what})"
        )
        output.console.print(f"{result.clock} clock: {CLOCKS[result.clock]}")
        if cost is not None:
            output.console.print(alignment_sentence(cost))


def alignment_sentence(cost: Alignment) -> str:
    """What aligned resets change, in words."""
    late, aligned = cost.as_trained, cost.aligned
    return (
        f"aligned resets change {cost.label_changes} of {aligned.total} labels: "
        f"{late.correct} right as trained (delay_shift: all layers start together), "
        f"{aligned.correct} where each layer starts when its data arrive (aligned)"
    )
