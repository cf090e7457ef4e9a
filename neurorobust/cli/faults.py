"""`neurorobust faults`: adversaries of the deployment: bits of weights, leaking state."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurorobust.cli import options
from neurorobust.cli.card_options import NO_OPTIONS, CardOptions, takes_card
from neurorobust.cli.output import session
from neurorobust.cli.usage import Commands
from neurorobust.errors import BadInput, OutputError

if TYPE_CHECKING:
    from rich.table import Table

    from neurorobust.faults.bits import Row
    from neurorobust.faults.leak import Leak
    from neurorobust.records import Rate

app = typer.Typer(
    name="faults",
    cls=Commands,
    no_args_is_help=True,
    help="Flip weight bits; let one sample spoil the next.",
)

Known = Annotated[int, typer.Option(help="Samples of other data that the adversary has.", min=1)]
FaultsOut = Annotated[
    Path | None, typer.Option(help="Directory for the table as JSON, and for networks.")
]


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
    out: FaultsOut = None,
    described: CardOptions = NO_OPTIONS,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Flip the weight bits that hurt most, and as many at random: accuracy over their number."""
    with session(as_json) as output:
        import numpy as np
        import torch

        from neurorobust import netx
        from neurorobust.attacks.modes import find_mode
        from neurorobust.backends.registry import Settings, open_backend
        from neurorobust.faults.bits import Samples, Search, curve, random_flips
        from neurorobust.faults.memory import flipped
        from neurorobust.support import files

        wanted = _counts(counts)
        search = Search(candidates, find_mode(mode))
        network = described.network(model)
        target = fresh(out, "bits.json", overwrite)
        scored = options.load(network, dataset, data_dir, download, limit)
        own = options.load_known(network, dataset, data_dir, download, scored, known)
        with open_backend("engine", network.model, Settings()) as backend:
            made = network.classifier(backend)
            generator = torch.Generator().manual_seed(seed)
            seen = Samples.of(made, *own.batch(0, len(own)), generator)
            test = Samples.of(made, *scored.batch(0, len(scored)), generator)
            with output.progress() as bars:
                found = search(made, seen, max(wanted), bars)
                lots = [
                    random_flips(network.model, max(wanted), np.random.default_rng([seed, one]))
                    for one in range(repeats)
                ]
                usable = [count for count in wanted if count <= min(len(found), len(lots[0]))]
                rows = curve(made, test, found, lots, [0, *usable], bars)
        result = {
            "model": network.name,
            "sha256": network.model.sha256,
            "dataset": scored.name,
            "seed": seed,
            "known": len(own),
            "mode": mode,
            "candidates": candidates,
            "rows": [_row(row) for row in rows],
            "flips": [dataclasses.asdict(flip) for flip in found],
        }
        output.result(**result)
        output.console.print(_bits_table(rows))
        if target is not None:
            for count in usable:
                netx.write(flipped(network.model, found[:count]), target.parent / f"{count}.net")
            files.write_text(target, json.dumps(result, indent=1) + "\n")
            output.console.print(f"table and networks → {target.parent}")


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
    out: FaultsOut = None,
    described: CardOptions = NO_OPTIONS,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Choose the sample before so that what it leaves behind spoils the next answer."""
    with session(as_json) as output:
        import torch

        from neurorobust.backends.registry import Settings, open_backend
        from neurorobust.faults.leak import LeakSearch
        from neurorobust.faults.sequence import REGIMES
        from neurorobust.support import files

        network = described.network(model)
        target = fresh(out, "leak.json", overwrite)
        scored = options.load(network, dataset, data_dir, download, limit)
        own = options.load_known(network, dataset, data_dir, download, scored, known)
        victims, labels = scored.batch(0, len(scored))
        pool, _ = own.batch(0, len(own))
        found = []
        with (
            open_backend("engine", network.model, Settings()) as backend,
            output.progress() as bars,
        ):
            made = network.classifier(backend)
            for regime in REGIMES.values():
                generator = torch.Generator().manual_seed(seed)
                attack = LeakSearch(rounds)
                found.append(attack(made, regime, victims, labels, pool, generator, bars))
        result = {
            "model": network.name,
            "sha256": network.model.sha256,
            "dataset": scored.name,
            "seed": seed,
            "known": len(own),
            "rounds": rounds,
            "rows": [_leak_row(one) for one in found],
        }
        output.result(**result)
        output.console.print(_leak_table(found))
        if target is not None:
            arrays = {one.regime: one.predecessor.numpy() for one in found}
            files.write_npz(target.parent / "predecessors.npz", arrays)
            files.write_text(target, json.dumps(result, indent=1) + "\n")
            output.console.print(f"table and predecessors → {target.parent}")


def _counts(text: str) -> list[int]:
    counts = []
    for name in options.names(text):
        if not name.isdigit() or int(name) < 1:
            raise BadInput(f"--bits {text}: {name!r} is no number of bits, need for example 1,10")
        counts.append(int(name))
    if not counts:
        raise BadInput("--bits: no number given")
    return sorted(set(counts))


def fresh(out: Path | None, name: str, overwrite: bool) -> Path | None:
    """Where the table goes, before any work.

    Raises:
        OutputError: it is there already, or the directory cannot be written.
    """
    from neurorobust.support import files

    if out is None:
        return None
    target = out / name
    if target.exists() and not overwrite:
        raise OutputError(f"{target}: exists already; --overwrite replaces it")
    files.probe(out)
    return target


def _row(row: Row) -> dict[str, Any]:
    return {
        "bits": row.bits,
        "searched": row.searched.model_dump(),
        "random": [one.model_dump() for one in row.random],
    }


def _leak_row(found: Leak) -> dict[str, Any]:
    names = ("alone", "control", "natural", "crafted")
    return {"regime": found.regime} | {name: getattr(found, name).model_dump() for name in names}


def words(rate: Rate) -> str:
    """A share with its interval."""
    low, high = rate.interval
    return f"{rate.correct / rate.total:.1%} [{low:.1%}, {high:.1%}]"


def _bits_table(rows: tuple[Row, ...]) -> Table:
    from rich.table import Table

    table = Table("bits", "searched", "random, median", "random, least to most")
    for row in rows:
        ordered = sorted(row.random, key=lambda rate: rate.correct)
        ends = (ordered[0], ordered[-1])
        spread = " to ".join(f"{rate.correct / rate.total:.1%}" for rate in ends)
        middle = ordered[(len(ordered) - 1) // 2]
        table.add_row(str(row.bits), words(row.searched), words(middle), spread)
    return table


def _leak_table(found: list[Leak]) -> Table:
    from rich.table import Table

    table = Table("resets", "alone", "after any sample", "after the worst", "after a crafted one")
    for one in found:
        rates = (one.alone, one.control, one.natural, one.crafted)
        table.add_row(one.regime, *map(words, rates))
    return table
