"""`neurorobust evaluate`: what a deployed network gets right, clean and attacked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from neurorobust.assessment import Confirm, Question, assess
from neurorobust.cli import options
from neurorobust.cli.output import command_line, session
from neurorobust.confirmation import require_identical
from neurorobust.errors import BadInput
from neurorobust.records import Record
from neurorobust.report import REPORT_FILE, print_record
from neurorobust.targets import BACKENDS, Settings


def evaluate(
    model: Annotated[str, typer.Argument(help="A .net file or a network's name.")],
    dataset: options.DatasetName = None,
    data_dir: options.DataDir = None,
    download: options.Download = False,
    limit: options.Limit = None,
    bin_us: options.BinUs = None,
    attacks: Annotated[str, typer.Option(help="Names with commas between, or none.")] = "none",
    eps: Annotated[str, typer.Option(help="Pixel budgets: 0.05,0.1 or 8/255.")] = "",
    flips: Annotated[str, typer.Option(help="Spike budgets: 10,50.")] = "",
    confirm: Annotated[str, typer.Option(help="Replay N samples elsewhere: lava:N.")] = "",
    out: options.Out = None,
    card: options.CardFile = None,
    encoder: options.Encoder = None,
    steps: options.Steps = None,
    mean: options.Mean = None,
    std: options.Std = None,
    gain: options.Gain = None,
    readout: options.Readout = None,
    logit_scale: options.LogitScale = None,
    seed: options.Seed = 0,
    backend: options.Backend = "engine",
    device: options.Device = "cpu",
    memory_limit: options.MemoryLimit = None,
    timeout: options.Timeout = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Score a deployed network, attack it, score it again, and let Lava confirm."""
    with session(as_json, resumable=out is not None) as output:
        question = Question(
            attacks=options.names("" if attacks == "none" else attacks),
            epsilons=options.names(eps),
            flips=options.names(flips),
            seed=seed,
            backend=backend,
            settings=Settings(device, memory_limit, timeout),
            confirm=parse_confirm(confirm),
            command=command_line(),
        )
        network = options.network(
            model, card, encoder, steps, mean, std, gain, readout, logit_scale
        )
        data = options.load(network, dataset, data_dir, download, limit, bin_us)
        with output.progress() as bars:
            record = assess(network, data, question, out, resume, overwrite, bars)
        output.result(**summary(record, out))
        print_record(record, output.console, None if out is None else out / REPORT_FILE)
        if record.confirmed is not None:
            require_identical(record.confirmed)


def parse_confirm(text: str) -> Confirm | None:
    """`lava:32`.

    Raises:
        BadInput: not of that form, or an unknown target.
    """
    if not text:
        return None
    name, _, count = text.partition(":")
    if name not in BACKENDS:
        raise BadInput(f"--confirm {text}: backend {name!r} unknown, known: {', '.join(BACKENDS)}")
    if not count.isdigit() or int(count) < 1:
        raise BadInput(f"--confirm {text}: needs a number of samples, as in {name}:32")
    return Confirm(name, int(count))


def summary(record: Record, out: Path | None) -> dict[str, Any]:
    """What `evaluate --json` prints."""
    whole = record.model_dump(mode="json")
    keys = ("correct", "total", "interval", "by_attack")
    budgets = {
        kind: {budget: {key: found[key] for key in keys} for budget, found in whole[kind].items()}
        for kind in ("robust", "robust_flips")
    }
    return {
        "clean": whole["clean"],
        **budgets,
        "confirmed": whole["confirmed"],
        "comparison": whole["comparison"],
        "flags": whole["flags"],
        "record": None if out is None else str(out),
    }
