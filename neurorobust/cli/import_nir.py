"""`neurorobust import`: a NIR graph becomes a `.net` file, and what that costs."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurorobust.cli import card_options, options
from neurorobust.cli.card import free
from neurorobust.cli.export import check_out
from neurorobust.cli.output import Bars, session
from neurorobust.errors import BadInput

if TYPE_CHECKING:
    from rich.table import Table

    from neurorobust.classifier import Network
    from neurorobust.datasets import Dataset
    from neurorobust.nir import FloatLayer, LayerReport
    from neurorobust.records import Rate

BATCH = 64
FEW = 4  # samples of which every layer's u and v are held at once
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
        from neurorobust.classifier import Network
        from neurorobust.models import CARD_FILE, check_card, read_card
        from neurorobust.netx.read import parse
        from neurorobust.netx.write import serialise
        from neurorobust.nir import quantise, read_graph
        from neurorobust.support import files

        known = None if card is None else read_card(card)
        asked = {"encoder": encoder, "steps": steps, "readout": readout, "gain": gain}
        described = known
        if any(value is not None for value in asked.values()):
            described = card_options.changed(known, asked)
        if dataset is not None and described is None:
            raise BadInput("--dataset: needs --card, or --encoder, --steps and --readout")
        check_out(out, overwrite)
        if described is not None:
            free(out, overwrite)
        files.probe(out.parent)
        shape, layers = read_graph(graph, dt)
        found = quantise(shape, layers, STEPS if described is None else described.steps)
        image = serialise(found.model)
        model = parse(image, str(out))
        rates: dict[str, Rate] = {}
        if described is not None:
            described = described.model_copy(update={"sha256": model.sha256})
            check_card(described, model, out)
            network = Network(out.stem, model, described)
            if dataset is not None:
                data = options.load(network, dataset, data_dir, download, limit, bin_us)
                with output.progress() as bars:
                    rates = accuracies(network, layers, data, seed, bars)
        with ExitStack() as stack:  # all or nothing: the files take their names at the end
            if described is not None:
                temporary = stack.enter_context(files.atomic(out.parent / CARD_FILE))
                temporary.write_text(described.model_dump_json(indent=2) + "\n", "utf-8")
            stack.enter_context(files.atomic(out)).write_bytes(image)
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
    """Of the float graph and of the integers, on the same encoded samples, and where they agree.

    Raises:
        BadInput: a layer of the deployed network never spiked on any of the samples.
    """
    import numpy as np
    import torch

    from neurorobust.backends.registry import open_backend
    from neurorobust.nir.simulate import FloatNetwork
    from neurorobust.records import rate

    silent = {
        layer.number: row.name
        for layer, row in zip(network.model.spiking_layers[-len(layers) :], layers, strict=True)
        if layer.neuron is not None and np.isfinite(row.threshold).all()
    }
    with open_backend("engine", network.model) as engine:
        deployed = network.classifier(engine)
        target = FloatNetwork(network.model, layers)
        right = {"float": 0, "deployed": 0, "agree": 0}
        for start in range(0, len(data), BATCH):
            x, labels = data.batch(start, min(start + BATCH, len(data)))
            inputs = deployed.encoder.encode(x, torch.Generator().manual_seed(seed + start))
            runs = target.run(inputs), engine.run(inputs)
            for at in range(0, len(inputs), FEW):
                if not silent:
                    break
                few = engine.run(inputs[at : at + FEW], record=list(silent))
                for number, trace in few.layers.items():
                    if trace.spikes.any():
                        silent.pop(number)
            answers = [deployed.readout.labels(run) for run in runs]
            right["float"] += int((answers[0] == labels).sum())
            right["deployed"] += int((answers[1] == labels).sum())
            right["agree"] += int((answers[0] == answers[1]).sum())
            bars(min(start + BATCH, len(data)), len(data), "samples")
    if silent:
        number, name = min(silent.items())
        raise BadInput(
            f"layer {number} ({name}): no spike on any of {len(data)} samples, so nothing is "
            "imported; stronger inputs (--gain, --steps), or the --dt that the graph was made for"
        )
    return {name: rate(count, len(data)) for name, count in right.items()}


def _table(layers: tuple[LayerReport, ...]) -> Table:
    from rich.table import Table

    table = Table("layer", "scale", "weights off by", "lost", "threshold off", "decays off")
    for row in layers:
        table.add_row(
            row.name, f"{row.scale:.4g}", f"{row.weight_error:.2%}", str(row.lost),
            f"{row.threshold_error:.2%}", f"{row.decay_error:.2%}",
        )  # fmt: skip
    return table
