"""`neurorobust compare`: the float network that was trained against its deployed integers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neurorobust.assessment import Question, assess, float_classifier
from neurorobust.cli import options
from neurorobust.cli.evaluate import summary
from neurorobust.cli.output import command_line, session
from neurorobust.errors import BadInput
from neurorobust.report import REPORT_FILE, print_record
from neurorobust.targets import Settings

# by kind of budget: the control, and what the 2x2 is made with
ATTACKS = {"eps": ("random", "pgd-linf"), "flips": ("spike-random", "spike-topk")}


def compare(
    run: Annotated[Path, typer.Argument(help="Directory of the training run (the float network).")],
    model: Annotated[str, typer.Argument(help="The .net file exported from it.")],
    eps: options.Eps = "",
    flips: options.Flips = "",
    dataset: options.DatasetName = None,
    data_dir: options.DataDir = None,
    download: options.Download = False,
    limit: options.Limit = None,
    bin_us: options.BinUs = None,
    out: options.Out = None,
    seed: options.Seed = 0,
    backend: options.Backend = "engine",
    device: options.Device = "cpu",
    memory_limit: options.MemoryLimit = None,
    timeout: options.Timeout = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """The 2x2 that quantisation hides: attacks crafted on float / deployed, scored on both."""
    with session(as_json, resumable=out is not None) as output:
        if bool(options.names(eps)) == bool(options.names(flips)):
            raise BadInput("--eps or --flips: give budgets of one kind")
        attacks = ATTACKS["eps" if options.names(eps) else "flips"]
        network = options.network(model)
        question = Question(
            attacks=attacks,
            compare_with=attacks[-1],
            epsilons=options.names(eps),
            flips=options.names(flips),
            seed=seed,
            backend=backend,
            settings=Settings(device, memory_limit, timeout),
            against=float_classifier(run, network),
            command=command_line(),
        )
        data = options.load(network, dataset, data_dir, download, limit, bin_us)
        with output.progress() as bars:
            record = assess(network, data, question, out, resume, overwrite, bars)
        output.result(**summary(record, out))
        print_record(record, output.console, None if out is None else out / REPORT_FILE)
