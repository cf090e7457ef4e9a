"""`nmnist-small`: the first 1000 training and the first 100 test recordings of N-MNIST.

Two event files (events.py says what is in them) in the data folder: `events/nmnist_small_train.npz`
and `events/nmnist_small_test.npz`. A recording is 34x34 pixels and three saccades, some 308 ms.

Source: Orchard et al., "Converting static image datasets to spiking neuromorphic datasets using
saccades", Frontiers in Neuroscience 9 (2015), CC BY-SA 4.0.
"""

from __future__ import annotations

from dataclasses import replace

from neurorobust.datasets import npz
from neurorobust.datasets.base import Dataset, Request
from neurorobust.errors import DatasetError

WINDOW_US = 320_000  # the last event of 1100 recordings but one comes before
FOLDER = "events"


def load(request: Request) -> Dataset:
    """Spikes uint8 `[N, 2, 34, 34, steps]`, 10 classes.

    Without `bin_us` the steps share `WINDOW_US` evenly (rounded down): 16 steps of 20 ms.

    Raises:
        DatasetError: no data folder given, the file is not in it or is damaged, no steps.
    """
    file = f"{FOLDER}/nmnist_small_{request.split}.npz"
    if request.data_dir is None:
        raise DatasetError(f"{request.name}: no data folder: give --data-dir DIR that holds {file}")
    path = request.data_dir / file
    if not path.is_file():
        raise DatasetError(
            f"{request.name}: not found: {path}: point --data-dir at a folder that holds {file}"
        )
    if request.steps is None or request.steps < 1:
        raise DatasetError(f"{request.name}: holds events, needs steps (1 or more)")
    bin_us = request.bin_us or max(1, WINDOW_US // request.steps)
    data = npz.load(replace(request, name=f"npz:{path}", bin_us=bin_us))
    return Dataset(request.name, request.split, data.x, data.y, data.classes)
