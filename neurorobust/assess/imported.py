"""What importing a NIR graph cost: the float graph and the integers on the same samples."""

from __future__ import annotations

import numpy as np
import torch

from neurorobust.backends.registry import open_backend
from neurorobust.classifier import Network
from neurorobust.datasets import Dataset
from neurorobust.errors import BadInput
from neurorobust.evaluation import Progress
from neurorobust.nir import FloatLayer
from neurorobust.nir.simulate import FloatNetwork
from neurorobust.records import Rate, rate

BATCH = 64
FEW = 4  # samples of which every layer's u and v are held at once


def accuracies(
    network: Network,
    layers: tuple[FloatLayer, ...],
    data: Dataset,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, Rate]:
    """Of the float graph and of the integers, on the same encoded samples, and where they agree.

    Args:
        network: the integers and their card.
        layers: of the float graph that they were made of.
        data: what both are asked.
        seed: of an encoder that draws.
        progress: told (done, total, what).

    Raises:
        BadInput: a layer of the deployed network never spiked on any of the samples.
    """
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
            if progress is not None:
                progress(min(start + BATCH, len(data)), len(data), "samples")
    if silent:
        number, name = min(silent.items())
        raise BadInput(
            f"layer {number} ({name}): no spike on any of {len(data)} samples, so nothing is "
            "imported; stronger inputs (--gain, --steps), or the --dt that the graph was made for"
        )
    return {name: rate(count, len(data)) for name, count in right.items()}
