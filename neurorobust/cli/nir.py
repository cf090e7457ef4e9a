"""`neurorobust import`: a NIR graph becomes a `.net` file, and what that costs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.table import Table

from neurorobust import files, netx
from neurorobust.classifier import Classifier
from neurorobust.cli import card_options, options
from neurorobust.cli.output import Bars, session
from neurorobust.datasets import Dataset
from neurorobust.errors import BadInput, OutputError
from neurorobust.models import CARD_FILE, Network, classifier, read_card, write_card
from neurorobust.nir import FloatLayer, FloatNetwork, LayerReport, quantise, read_graph
from neurorobust.records import Rate, rate
from neurorobust.targets import open_backend

BATCH = 64
STEPS = 64  # where nothing says for how long a sample runs


def import_nir(
    graph: Annotated[Path, typer.Argument(help="A .nir file.")],
    out: Annotated[Path, typer.Option(help="The .net file to write.")],
    dt: Annotated[float, typer.Option(help="Time of a step, in the graph's unit.")] = 1e-3,
    dataset: options.DatasetName = None,
    data_dir: options.DataDir = None,
    download: options.Download = False,
    limit: options.Limit = None,
    bin_us: options.BinUs = None,
    card: options.CardFile = None,
    encoder: options.Encoder = None,
    steps: options.Steps = None,
    gain: options.Gain = None,
    readout: options.Readout = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Quantise a NIR graph for the chip; with a data set, say what accuracy that costs."""
    with session(as_json) as output:
        if out.exists() and not overwrite:
            raise OutputError(f"{out}: exists already; --overwrite replaces it")
        known = None if card is None else read_card(card)
        asked = {"steps": steps, "readout": readout}
        described = known
        if encoder is not None or any(value is not None for value in asked.values()):
            described = card_options.changed(known, asked | {"encoder": encoder, "gain": gain})
        if dataset is not None and described is None:
            raise BadInput("--dataset: needs --card, or --encoder, --steps and --readout")
        files.probe(out.parent)
        shape, layers = read_graph(graph, dt)
        found = quantise(shape, layers, STEPS if described is None else described.steps)
        model = netx.write(found.model, out)
        if described is not None:
            described = described.model_copy(update={"sha256": model.sha256})
            write_card(described, out.parent / CARD_FILE)
        rates: dict[str, Rate] = {}
        if dataset is not None and described is not None:
            network = Network(out.stem, model, described)
            data = options.load(network, dataset, data_dir, download, limit, bin_us)
            with output.progress() as bars:
                rates = accuracies(network, layers, data, seed, bars)
        output.result(
            model=str(out),
            sha256=model.sha256,
            layers=[asdict(row) for row in found.layers],
            accuracy={name: row.model_dump(mode="json") for name, row in rates.items()} or None,
        )
        output.console.print(_table(found.layers))
        for name, row in rates.items():
            low, high = row.interval
            output.console.print(
                f"{name}: {row.correct} of {row.total} right ({low:.1%} to {high:.1%})"
            )
        output.console.print(f"{graph} → {out}")


def accuracies(
    network: Network, layers: tuple[FloatLayer, ...], data: Dataset, seed: int, bars: Bars
) -> dict[str, Rate]:
    """Of the float graph and of the integers, on the same encoded samples, and where they agree."""
    with open_backend("engine", network.model) as engine:
        deployed = classifier(network, engine)
        target = FloatNetwork(network.model, layers)
        plain = Classifier(deployed.encoder, target, deployed.readout)
        right = {"float": 0, "deployed": 0, "agree": 0}
        for start in range(0, len(data), BATCH):
            x, labels = data.batch(start, min(start + BATCH, len(data)))
            answers = [
                one.predict(x, torch.Generator().manual_seed(seed + start))
                for one in (plain, deployed)
            ]
            right["float"] += int((answers[0] == labels).sum())
            right["deployed"] += int((answers[1] == labels).sum())
            right["agree"] += int((answers[0] == answers[1]).sum())
            bars(min(start + BATCH, len(data)), len(data), "samples")
    return {name: rate(count, len(data)) for name, count in right.items()}


def _table(layers: tuple[LayerReport, ...]) -> Table:
    table = Table("layer", "scale", "weights off by", "lost", "threshold off", "decays off")
    for row in layers:
        table.add_row(
            row.name, f"{row.scale:.4g}", f"{row.weight_error:.2%}", str(row.lost),
            f"{row.threshold_error:.2%}", f"{row.decay_error:.2%}",
        )  # fmt: skip
    return table
