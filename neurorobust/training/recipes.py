"""Networks and settings that work, by architecture and data set; plain tables to copy from."""

from __future__ import annotations

from typing import Any

from neurorobust.datasets import Dataset
from neurorobust.errors import BadInput
from neurorobust.networks import NetworkSpec
from neurorobust.support.names import unknown
from neurorobust.training.options import TrainOptions

Fields = dict[str, Any]

SURROGATE: Fields = {"tau_grad": 0.03, "scale_grad": 3.0}  # a narrow, high gradient trains best
NETWORKS: dict[str, Fields] = {  # fields of NetworkSpec
    "mlp": {"hidden": (128,), **SURROGATE},
    "cnn": {"channels": (16, 32), "hidden": (64,), **SURROGATE},
    "recurrent": {"hidden": (128,), **SURROGATE},
    "delayed": {"kind": "mlp", "hidden": (128,), "max_delay": 4, **SURROGATE},
}
DATASETS: dict[str, Fields] = {  # fields of NetworkSpec that the data decide
    "digits": {"input_shape": (1, 8, 8), "classes": 10, "steps": 16},
    "mnist": {"input_shape": (1, 28, 28), "classes": 10, "steps": 16},
    "fashion-mnist": {"input_shape": (1, 28, 28), "classes": 10, "steps": 16},
    "cifar10": {"input_shape": (3, 32, 32), "classes": 10, "steps": 16},
    "nmnist-small": {
        "input_shape": (2, 34, 34),
        "classes": 10,
        "steps": 16,
        "encoder": "direct",
    },
}
OPTIONS: dict[str, Fields] = {  # fields of TrainOptions, where they are not the defaults
    "mnist": {"epochs": 10},
    "fashion-mnist": {"epochs": 15},
    "cifar10": {"epochs": 30},
}


def recipe(
    network: str, dataset: str, data: Dataset | None = None
) -> tuple[NetworkSpec, TrainOptions]:
    """A network and settings for a data set; change them with `model_copy` and `replace`.

    Args:
        network: a name in `NETWORKS`.
        dataset: a name in `DATASETS`, or anything where `data` are given.
        data: for other sets: an example of what is trained on (shape, classes, domain and steps are
            taken from it; images are fed as drive for 16 steps, spikes as they are).

    Raises:
        BadInput: unknown network, or unknown data set and no data.
    """
    if network not in NETWORKS:
        raise BadInput(unknown("network", network, NETWORKS))
    if dataset in DATASETS:
        shape = DATASETS[dataset]
    elif data is not None:
        shape = _shape_of(data)
    else:
        raise BadInput(f"no recipe for data set {dataset!r}, known: {', '.join(DATASETS)}")
    spec = NetworkSpec.model_validate({"kind": network, **NETWORKS[network], **shape})
    return spec, TrainOptions(**OPTIONS.get(dataset, {}))


def _shape_of(data: Dataset) -> Fields:
    spikes = data.domain == "spikes"
    return {
        "input_shape": tuple(data.x.shape[1:4]),
        "classes": max(2, data.classes),
        "steps": int(data.x.shape[4]) if spikes else 16,
        "encoder": "direct" if spikes else "drive",
    }
