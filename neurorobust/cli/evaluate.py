"""`neurorobust evaluate`: what a deployed network gets right, clean and attacked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurorobust.cli import options
from neurorobust.cli.budget_options import (
    NO_BUDGETS,
    BudgetOptions,
    rates_by_key,
    takes_budgets,
)
from neurorobust.cli.card_options import NO_OPTIONS, CardOptions, takes_card
from neurorobust.cli.output import command_line, session

if TYPE_CHECKING:
    from neurorobust.records import Record


@takes_card
@takes_budgets
def evaluate(
    model: Annotated[str, typer.Argument(help="A .net file or a network's name.")],
    dataset: options.DatasetName = None,
    data_dir: options.DataDir = None,
    download: options.Download = False,
    limit: options.Limit = None,
    bin_us: options.BinUs = None,
    attacks: Annotated[
        str, typer.Option(help="standard, names with commas between, or none.")
    ] = "none",
    budgets: BudgetOptions = NO_BUDGETS,
    seeds: Annotated[int, typer.Option(help="Attack from so many seeds.", min=1)] = 1,
    draws: Annotated[
        int | None,
        typer.Option(
            help="Of a random encoder: draws that select a proposal; as many others score it (10).",
            min=1,
        ),
    ] = None,
    minimum: Annotated[
        bool, typer.Option("--minimum", help="Find the smallest budget that breaks each sample.")
    ] = False,
    targeted: Annotated[
        bool, typer.Option("--targeted", help="Attack towards a random wrong class as well.")
    ] = False,
    no_control: options.NoControl = False,
    confirm: Annotated[str, typer.Option(help="Replay N samples elsewhere: lava:N.")] = "",
    out: options.Out = None,
    described: CardOptions = NO_OPTIONS,
    seed: options.Seed = 0,
    backend: options.Backend = "engine",
    device: options.Device = "cpu",
    memory_limit: options.MemoryLimit = None,
    timeout: options.Timeout = None,
    workers: options.Workers = None,
    worker_memory: options.WorkerMemory = None,
    sparse: options.Sparse = False,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Score a deployed network, attack it, score it again, and let Lava confirm."""
    with session(as_json, resumable=out is not None) as output:
        from neurorobust import api
        from neurorobust.report import REPORT_FILE, print_record

        network = described.network(model)
        request = api.ask(
            options.names("" if attacks == "none" else attacks),
            budgets,
            seed=seed,
            seeds=seeds,
            draws=draws,
            minimum=minimum,
            targeted=targeted,
            control=not no_control,
            confirm=confirm,
        )
        source: dict[str, Any] = {
            "data_dir": data_dir,
            "download": download,
            "limit": limit,
            "bin_us": bin_us,
        }
        if request.recipe is not None:
            data, beside = api.validation_data(network, dataset, **source)
        else:
            data, beside = api.scored_data(network, dataset, **source), None
        with output.progress() as bars:
            record = api.assess_network(
                network,
                data,
                request,
                backend=backend,
                settings=api.Settings(
                    device, memory_limit, timeout, workers, worker_memory, sparse
                ),
                validation=beside,
                out=out,
                resume=resume,
                overwrite=overwrite,
                progress=bars,
                command=command_line(),
            )
        output.result(**summary(record, out))
        print_record(record, output.console, None if out is None else out / REPORT_FILE)
        api.require_confirmed(record)


def summary(record: Record, out: Path | None) -> dict[str, Any]:
    """What `evaluate --json` prints."""
    whole = record.model_dump(mode="json")
    fields = ("correct", "total", "interval", "by_attack", "by_seed", "carried")
    return {
        "clean": whole["clean"],
        "controls": [name for name in record.attacks if record.is_control(name)],
        "draws": whole["draws"],
        **rates_by_key(record.robust, fields),
        "confirmed": whole["confirmed"],
        "comparison": whole["comparison"],
        "minimum": whole["minimum"],
        "targeted": whole["targeted"],
        "recipe": whole["recipe"],
        "flags": whole["flags"],
        "record": None if out is None else str(out),
    }
