"""Ten shortened evaluations, whose outcomes sample by sample are kept in `outcomes.json`.

    python tests/stories/outcomes.py            compute them and say what differs
    python tests/stories/outcomes.py --write    keep what was computed, for this processor

Gradients are floats and differ in their last bits between processors, so what a gradient attack
breaks is kept for each processor that it was computed on; clean answers and controls are the same
on all of them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import llvmlite.binding
import numpy as np
import torch

from neurorobust import datasets, models
from neurorobust.attacks.recipe import Recipe
from neurorobust.attacks.recipes import RECIPES
from neurorobust.backends.engine import EngineBackend
from neurorobust.datasets.base import Dataset
from neurorobust.evaluation import Request, evaluate
from neurorobust.records import EncoderCard
from neurorobust.support import files

KEPT = Path(__file__).with_name("outcomes.json")
FEW = {
    "steps": 4, "rounds": 2, "queries": 60, "targets": 2, "restarts": 1, "patience": 3, "places": 1,
    "lives": 2, "moves": 100, "first": 300, "pool": 16, "swaps": 4,
}  # fmt: skip


@dataclass(frozen=True)
class Story:
    """One evaluation.

    Attributes:
        model, dataset: by name.
        limit: samples.
        recipe: by name; shortened.
        asked: fields of the request.
        card: fields of the card that differ.
    """

    model: str
    dataset: str
    limit: int
    recipe: str
    asked: dict[str, Any]
    card: dict[str, Any] = field(default_factory=dict)


POISSON = {"encoder": EncoderCard(kind="poisson", gain=1.0), "steps": 12}
STORIES = {
    "digits, eps, standard-1": Story(
        "digits-mlp", "digits", 48, "standard-1", {"budgets": {"eps": ["0.05", "0.1"]}}
    ),
    "digits, norms, standard-2": Story(
        "digits-mlp",
        "digits",
        32,
        "standard-2",
        {"budgets": {"eps": ["0.05", "l2:0.3", "l1:1", "l0:2"]}},
    ),
    "digits, targets, minimum, seeds": Story(
        "digits-mlp",
        "digits",
        24,
        "standard-1",
        {"budgets": {"eps": ["0.05", "0.1"]}, "targeted": True, "minimum": True, "seeds": 2},
    ),
    "digits, poisson": Story(
        "digits-mlp", "digits", 16, "standard-1", {"budgets": {"eps": ["0.1"]}, "draws": 3}, POISSON
    ),
    "digits, flips": Story("digits-mlp", "digits", 24, "standard-2", {"budgets": {"flips": ["6"]}}),
    "mnist-cnn, eps": Story("mnist-cnn", "mnist", 16, "standard-2", {"budgets": {"eps": ["0.1"]}}),
    "lava-mnist, eps": Story(
        "lava-mnist", "mnist", 16, "standard-1", {"budgets": {"eps": ["0.15"]}}
    ),
    "nmnist-cnn, flips": Story(
        "nmnist-cnn",
        "nmnist-small",
        16,
        "standard-2",
        {"budgets": {"flips": ["20", "insert=8+delete=4"]}},
    ),
    "nmnist-cnn, shifts": Story(
        "nmnist-cnn",
        "nmnist-small",
        16,
        "standard-2",
        {"budgets": {"shifts": ["reach=1", "reach=2+spikes=20"]}},
    ),
    "nmnist-cnn, patches": Story(
        "nmnist-cnn", "nmnist-small", 12, "standard-2", {"budgets": {"patches": ["5x5"]}}
    ),
}


def processor() -> str:
    """What floats depend on: instructions, torch and numba's target."""
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{capability}, {llvmlite.binding.get_host_cpu_name()}, torch {torch.__version__}"


def shortened(attack: Any) -> Any:
    """The same attack, briefly."""
    kept = {name: few for name, few in FEW.items() if hasattr(attack, name)}
    return replace(attack, **kept) if kept else attack


def short(recipe: Recipe) -> Recipe:
    """All members of a recipe, its choosers, probes and targets, each shortened."""
    return replace(
        recipe,
        members=tuple(replace(one, attack=shortened(one.attack)) for one in recipe.members),
        choosers=tuple(map(shortened, recipe.choosers)),
        probes=tuple(map(shortened, recipe.probes)),
        targeted=tuple(map(shortened, recipe.targeted)),
    )


def outcomes(story: Story, data_dir: Path | None) -> dict[str, str]:
    """What was answered sample by sample, a digit each, by the name of the array in `samples.npz`.

    Args:
        story: which.
        data_dir: where torchvision's data sets lie.
    """
    network = models.resolve(story.model)
    card = network.card.model_copy(update=story.card)
    network = replace(network, card=card)
    data = datasets.load(
        story.dataset, "test", data_dir, limit=2 * story.limit, steps=card.steps
    )  # fmt: skip
    scored, held_out = (
        Dataset(data.name, data.split, data.x[part], data.y[part], data.classes)
        for part in (slice(0, story.limit), slice(story.limit, None))
    )
    classifier = network.classifier(EngineBackend(network.model))
    with tempfile.TemporaryDirectory() as scratch:
        evaluate(
            classifier,
            scored,
            Request([short(RECIPES[story.recipe])], **story.asked),
            card=card,
            validation=held_out,
            out=Path(scratch) / "kept",
        )
        arrays = files.read_npz(Path(scratch) / "kept" / "samples.npz")
    return {
        name: " ".join(str(value) for value in np.asarray(array).tolist())
        for name, array in sorted(arrays.items())
        if name.startswith(("predicted/", "minimum/"))
    }


def everywhere(found: dict[str, str]) -> dict[str, str]:
    """What no float decides: clean answers and controls."""
    controls = ("/random", "/spike-random", "/random-jitter", "/patch-noise")
    return {
        name: answers
        for name, answers in found.items()
        if name == "predicted/clean" or name.endswith(controls)
    }


def main(say: Callable[[str], None] = print) -> int:
    """Compute, compare, and on request keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--data-dir", type=Path, default=None)
    options = parser.parse_args()
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    own, failed = dict(kept.get(processor(), {})), 0
    for name, story in STORIES.items():
        found = outcomes(story, options.data_dir)
        before = own.get(name, {})
        differs = [key for key in found | before if found.get(key) != before.get(key)]
        say(f"{name}: {len(found)} arrays, {len(differs)} differ")
        failed += bool(differs)
        own[name] = found
    if options.write:
        kept[processor()] = own
        KEPT.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
        return 0
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
