"""Make a shipped network again: `python netx_models/reproduce.py NAME --data-dir DIR [--out DIR]`.

Trains with SLAYER, exports, measures the float and the deployed network once on the test split, and
records golden spikes of the first test samples, clean and attacked, computed by the reference
backend. The epoch is chosen on a tenth of the training split that is held out.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurorobust import datasets, netx
from neurorobust.assess.assess import float_classifier
from neurorobust.attacks import find
from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.budgets import Budget, ImageBudget, SpikeBudget
from neurorobust.classifier import Classifier, Network
from neurorobust.datasets import Dataset
from neurorobust.export import export
from neurorobust.models import CARD_FILE, write_card
from neurorobust.networks import NetworkSpec
from neurorobust.records import rate
from neurorobust.support import files
from neurorobust.training import TrainOptions, load_run, recipe, train
from neurorobust.types import Inputs

BATCH = 256
Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Recipe:
    """How one shipped network is made.

    Attributes:
        network, dataset: of `neurorobust.training.recipe`.
        about: the card's notes.
        attack, budget: what makes the attacked golden samples from the clean ones.
        goldens: how many golden samples of each.
        spec, options: where `NetworkSpec` and `TrainOptions` are not the recipe's.
    """

    network: str
    dataset: str
    about: str
    attack: str
    budget: Budget
    goldens: int = 4
    spec: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def settings(self) -> tuple[NetworkSpec, TrainOptions]:
        """What `train` is given."""
        spec, options = recipe(self.network, self.dataset)
        spec = NetworkSpec.model_validate(spec.model_dump() | self.spec)
        return spec, dataclasses.replace(options, **self.options)


CNN = {  # strided convolutions of 5x5 and one dense layer for the classes
    "channels": (8, 16),
    "hidden": (),
    "kernel": 5,
    "padding": 2,
    "input_threshold": 0.75,  # 48: a white pixel (drive 64) spikes at every step
}
RECIPES = {
    "digits-mlp": Recipe(
        "mlp",
        "digits",
        "64-128-10 on scikit-learn's 8x8 digits, drive, 16 steps",
        attack="pgd-linf",
        budget=ImageBudget(0.1),
        goldens=16,
    ),
    "mnist-cnn": Recipe(
        "cnn",
        "mnist",
        "two strided 5x5 convolutions (8, 16 channels) and 10 classes on MNIST, drive, 16 steps",
        attack="pgd-linf",
        budget=ImageBudget(0.2),
        spec=CNN,
        options={"epochs": 8, "lr": 5e-3},
    ),
    "fashion-cnn": Recipe(
        "cnn",
        "fashion-mnist",
        "two strided 5x5 convolutions (8, 16 channels) and 10 classes on Fashion-MNIST, drive, "
        "16 steps; trained on the first 40,000 images",
        attack="pgd-linf",
        budget=ImageBudget(0.1),
        spec=CNN,
        options={"epochs": 6, "lr": 5e-3, "limit": 40_000},
    ),
    "nmnist-cnn": Recipe(
        "cnn",
        "nmnist-small",
        "two strided 5x5 convolutions (8, 16 channels) and 10 classes on 1000 recordings of "
        "N-MNIST, 16 steps of 20 ms",
        attack="spike-topk",
        budget=SpikeBudget(60),
        spec={"channels": (8, 16), "hidden": (), "kernel": 5, "padding": 2},
        options={"epochs": 30, "lr": 5e-3, "batch": 32, "patience": 30},
    ),
    "nmnist-delayed": Recipe(
        "delayed",
        "nmnist-small",
        "2312-64-10, the hidden axons late by 0 to 3 steps, on 1000 recordings of N-MNIST, "
        "16 steps of 20 ms",
        attack="spike-topk",
        budget=SpikeBudget(60),
        spec={"hidden": (64,), "weight_scale": 2.0},
        options={"epochs": 20, "lr": 5e-3, "batch": 32, "patience": 20},
    ),
}


def reproduce(name: str, out: Path, data_dir: Path | None, run: Path | None = None) -> None:
    """Write model.net, card.json and golden.npz of one shipped network into `out`.

    Args:
        name: one of `RECIPES`.
        out: made if it is not there.
        data_dir: as in `neurorobust.datasets.load`.
        run: where the training run is kept and, if it is there, continued; None: it is not kept.
    """
    torch.set_num_threads(1)  # float sums, and so the weights, depend on the number of threads
    plan = RECIPES[name]
    spec, options = plan.settings()
    command = f"python netx_models/reproduce.py {name}"
    if plan.dataset != "digits":
        command += " --data-dir DIR"
    with _kept(run) as folder:
        train(
            spec,
            plan.dataset,
            folder,
            options,
            data_dir=data_dir,
            resume=True,
            progress=_tell,
            command=command,
        )
        network, card, report = load_run(folder)
        model = netx.write(export(network), out / "model.net")
        card = card.model_copy(update={"name": name, "sha256": model.sha256, "notes": plan.about})
        deployed = Network(name, model, card)
        data = datasets.load(plan.dataset, "test", data_dir, steps=spec.steps)
        target = deployed.classifier(EngineBackend(model))
        accuracy = {
            "split": f"test, {len(data)} samples",
            "float": _score(float_classifier(folder, deployed), data),
            "deployed": _score(target, data),
        }
    write_card(card.model_copy(update={"accuracy": accuracy}), out / CARD_FILE)
    files.write_npz(out / "golden.npz", golden(deployed, target, data, plan))
    print(f"{out}: sha256 {model.sha256}, trained in {report['seconds']:.0f} s, {accuracy}")


def golden(network: Network, target: Classifier, data: Dataset, plan: Recipe) -> Arrays:
    """Inputs and what every layer answers, by the reference backend.

    `label`, `steps`, `drive` (or `input`: spikes of events), `spikes`, `membrane`,
    `layer<i>/spikes|u|v`; but for the label the same again under `adversarial/`, for the same
    samples attacked on the deployed network.
    """
    x, labels = data.batch(0, plan.goldens)
    attacked = find(plan.attack)(target, x, labels, plan.budget, torch.Generator().manual_seed(0))
    encode = target.encoder.encode
    return {
        "label": labels.numpy(),
        **_answers(network, encode(x)),
        **_answers(network, encode(attacked), "adversarial/"),
    }


def _answers(network: Network, inputs: Inputs, prefix: str = "") -> Arrays:
    layers = [layer.number for layer in network.model.spiking_layers]
    run = ReferenceBackend(network.model).run(inputs, record=layers)
    name = "drive" if inputs.driven else "input"
    arrays = {name: inputs.values.numpy(), "steps": np.int64(inputs.steps)}
    arrays |= {"spikes": run.spikes.numpy(), "membrane": run.membrane.numpy()}
    for number, trace in run.layers.items():
        for variable in ("spikes", "u", "v"):
            arrays[f"layer{number}/{variable}"] = getattr(trace, variable).numpy()
    return {prefix + key: value for key, value in arrays.items()}


def _score(network: Classifier, data: Dataset) -> dict[str, Any]:
    correct = 0
    for start in range(0, len(data), BATCH):
        x, labels = data.batch(start, start + BATCH)
        correct += int((network.predict(x) == labels).sum())
    return rate(correct, len(data)).model_dump(mode="json")


@contextlib.contextmanager
def _kept(run: Path | None) -> Iterator[Path]:
    if run is not None:
        yield run
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "run"


def _tell(done: int, total: int, words: str) -> None:
    if 100 * done % total < 100:  # at whole percents
        print(f"{words}, {100 * done // total} %", file=sys.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("--out", type=Path, help="folder; default: beside this script")
    parser.add_argument("--data-dir", type=Path, help="where the data sets lie")
    parser.add_argument("--run", type=Path, help="keep the training run here, or continue it")
    arguments = parser.parse_args()
    folder = arguments.out or Path(__file__).parent / arguments.name
    reproduce(arguments.name, folder, arguments.data_dir, arguments.run)
