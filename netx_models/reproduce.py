"""Make a shipped network again: `python netx_models/reproduce.py digits-mlp [--out DIR]`.

Trains, exports, measures the float and the deployed network once on the test split, and records
golden spikes of the first test samples, computed by the reference backend.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurorobust import datasets, files, netx
from neurorobust.assessment import float_classifier
from neurorobust.backends.reference import ReferenceBackend
from neurorobust.classifier import Classifier
from neurorobust.datasets import Dataset
from neurorobust.export import export
from neurorobust.models import CARD_FILE, Network, classifier, write_card
from neurorobust.records import rate
from neurorobust.targets import open_backend
from neurorobust.training import load_run, recipe, train
from neurorobust.types import Drive

GOLDEN_SAMPLES = 16
BATCH = 256


@dataclass(frozen=True)
class Recipe:
    """How one shipped network is trained."""

    network: str
    dataset: str
    about: str


RECIPES = {
    "digits-mlp": Recipe(
        "mlp", "digits", "64-128-10 on scikit-learn's 8x8 digits, drive, 16 steps"
    ),
}


def reproduce(name: str, out: Path, data_dir: Path | None) -> None:
    """Write model.net, card.json and golden.npz of one shipped network into `out`."""
    torch.set_num_threads(1)  # float sums, and so the weights, depend on the number of threads
    plan = RECIPES[name]
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        spec, options = recipe(plan.network, plan.dataset)
        command = f"python netx_models/reproduce.py {name}"
        train(spec, plan.dataset, run, options, data_dir=data_dir, command=command)
        network, card, _ = load_run(run)
        model = netx.write(export(network), out / "model.net")
        card = card.model_copy(update={"name": name, "sha256": model.sha256, "notes": plan.about})
        deployed = Network(name, model, card)
        data = datasets.load(plan.dataset, "test", data_dir)
        with open_backend("engine", model) as engine:
            accuracy = {
                "split": f"test, {len(data)} samples",
                "float": _score(float_classifier(run, deployed), data),
                "deployed": _score(classifier(deployed, engine), data),
            }
    write_card(card.model_copy(update={"accuracy": accuracy}), out / CARD_FILE)
    files.write_npz(out / "golden.npz", golden(deployed, data))
    print(f"{out}: sha256 {model.sha256}, {accuracy}")


def _score(network: Classifier, data: Dataset) -> dict[str, Any]:
    correct = 0
    for start in range(0, len(data), BATCH):
        x, labels = data.batch(start, start + BATCH)
        correct += int((network.predict(x) == labels).sum())
    return rate(correct, len(data)).model_dump(mode="json")


def golden(network: Network, data: Dataset) -> dict[str, np.ndarray[Any, Any]]:
    """Inputs and what every layer answers: `drive`, `steps`, `label`, `layer<i>/spikes|u|v`, ..."""
    reference = ReferenceBackend(network.model)
    x, labels = data.batch(0, GOLDEN_SAMPLES)
    inputs = classifier(network, reference).encoder.encode(x)
    assert isinstance(inputs, Drive)
    layers = [layer.number for layer in network.model.spiking_layers]
    run = reference.run(inputs, record=layers)
    arrays = {
        "drive": inputs.bias_mant.numpy(),
        "steps": np.int64(inputs.steps),
        "label": labels.numpy(),
        "spikes": run.spikes.numpy(),
        "membrane": run.membrane.numpy(),
    }
    for number, trace in run.layers.items():
        arrays[f"layer{number}/spikes"] = trace.spikes.numpy()
        arrays[f"layer{number}/u"] = trace.u.numpy()
        arrays[f"layer{number}/v"] = trace.v.numpy()
    return arrays


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("--out", type=Path, help="folder; default: beside this script")
    parser.add_argument("--data-dir", type=Path)
    arguments = parser.parse_args()
    folder = arguments.out or Path(__file__).parent / arguments.name
    reproduce(arguments.name, folder, arguments.data_dir)
