"""`neurorobust faults`: adversaries of the deployment: bits of weights, leaking state, inputs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurorobust.cli import options
from neurorobust.cli.card_options import NO_OPTIONS, CardOptions, takes_card
from neurorobust.cli.output import Output, command_line, session
from neurorobust.cli.usage import Commands
from neurorobust.errors import BadInput

if TYPE_CHECKING:
    from neurorobust.report.result import FaultResult

app = typer.Typer(
    name="faults",
    cls=Commands,
    no_args_is_help=True,
    help="Flip weight bits; let one sample spoil the next; overflow, cost, truncate.",
)

Known = Annotated[int, typer.Option(help="Samples of other data that the adversary has.", min=1)]


@app.command()
@takes_card
def bits(
    model: Annotated[str, typer.Argument(help="A .net file or a network's name.")],
    dataset: options.DatasetName = None,
    data_dir: options.DataDir = None,
    download: options.Download = False,
    limit: options.Limit = 1000,
    counts: Annotated[
        str, typer.Option("--bits", help="Numbers of flipped bits.")
    ] = "1,2,5,10,20,50,100",
    known: Known = 256,
    candidates: Annotated[
        int, typer.Option(help="Bits of each matrix tried in a round.", min=1)
    ] = 4,
    repeats: Annotated[int, typer.Option(help="Repetitions of random flips.", min=1)] = 5,
    mode: Annotated[str, typer.Option(help="Backward mode of the search.")] = "fast-sigmoid-0.25",
    out: options.Out = None,
    described: CardOptions = NO_OPTIONS,
    seed: options.Seed = 0,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Flip the weight bits that hurt most, and as many at random: accuracy over their number.

    With --out the networks lie beside the record, <bits>.net each.
    """
    with session(as_json, resumable=out is not None) as output:
        from neurorobust import api

        wanted = _counts(counts)
        network = described.network(model)
        where: dict[str, Any] = {"data_dir": data_dir, "download": download}
        scored = api.scored_data(network, dataset, limit=limit, **where)
        own = api.known_data(network, scored, known, dataset, **where)
        with network.open() as classifier, output.progress() as bars:
            found = api.fault_bits(
                classifier,
                scored,
                own,
                wanted,
                candidates=candidates,
                repeats=repeats,
                mode=mode,
                seed=seed,
                out=out,
                resume=resume,
                overwrite=overwrite,
                progress=bars,
                command=command_line(),
            )
        _tell(found, output, out)


@app.command()
@takes_card
def leak(
    model: Annotated[str, typer.Argument(help="A .net file or a network's name.")],
    dataset: options.DatasetName = None,
    data_dir: options.DataDir = None,
    download: options.Download = False,
    limit: options.Limit = 200,
    known: Known = 32,
    rounds: Annotated[int, typer.Option(help="Queries a victim while crafting.", min=0)] = 100,
    out: options.Out = None,
    described: CardOptions = NO_OPTIONS,
    seed: options.Seed = 0,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Choose the sample before so that what it leaves behind spoils the next answer."""
    with session(as_json, resumable=out is not None) as output:
        from neurorobust import api

        network = described.network(model)
        where: dict[str, Any] = {"data_dir": data_dir, "download": download}
        scored = api.scored_data(network, dataset, limit=limit, **where)
        own = api.known_data(network, scored, known, dataset, **where)
        with network.open() as classifier, output.progress() as bars:
            found = api.fault_leak(
                classifier,
                scored,
                own,
                rounds=rounds,
                seed=seed,
                out=out,
                resume=resume,
                overwrite=overwrite,
                progress=bars,
                command=command_line(),
            )
        _tell(found, output, out)


@app.command()
@takes_card
def inputs(
    model: Annotated[str, typer.Argument(help="A .net file or a network's name.")],
    objective: Annotated[str, typer.Option(help="overflow, energy or truncation.")],
    eps: Annotated[str, typer.Option(help="Budget on pixels: 0.1, 8/255, l2:0.5.")] = "",
    flips: Annotated[str, typer.Option(help="Budget on spikes: 10, insert=5.")] = "",
    dataset: options.DatasetName = None,
    data_dir: options.DataDir = None,
    download: options.Download = False,
    limit: options.Limit = 200,
    rounds: Annotated[int, typer.Option(help="Gradients of the search.", min=1)] = 20,
    out: options.Out = None,
    described: CardOptions = NO_OPTIONS,
    seed: options.Seed = 0,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Attack what a network costs and where its integers end, within a budget on its input."""
    with session(as_json, resumable=out is not None) as output:
        from neurorobust import api

        network = described.network(model)
        scored = api.scored_data(
            network, dataset, data_dir=data_dir, download=download, limit=limit
        )
        with network.open() as classifier, output.progress() as bars:
            found = api.fault_inputs(
                classifier,
                scored,
                objective,
                rounds=rounds,
                seed=seed,
                out=out,
                resume=resume,
                overwrite=overwrite,
                progress=bars,
                command=command_line(),
                eps=eps,
                flips=flips,
            )
        _tell(found, output, out)


def _tell(found: FaultResult, output: Output, out: Path | None) -> None:
    """The record for programs, its table for people."""
    output.result(**found.record.model_dump(mode="json"))
    found.show(output.console, None if out is None else found.page)


def _counts(text: str) -> list[int]:
    counts = []
    for name in options.names(text):
        if not (name.isascii() and name.isdigit()) or int(name) < 1:
            raise BadInput(f"--bits {text}: {name!r} is no number of bits, need for example 1,10")
        counts.append(int(name))
    if not counts:
        raise BadInput("--bits: no number given")
    return sorted(set(counts))
