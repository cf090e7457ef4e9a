"""The engine against published recordings: files in the lava-dl wheel, and MNIST."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from neurorobust.backends.engine import EngineBackend
from neurorobust.netx import read
from neurorobust.types import Inputs

PILOTNET = ("conv-0", "conv-1", "conv-2", "conv-3", "conv-4", "fc-0", "fc-1", "fc-2")


@pytest.fixture(scope="module")
def published() -> Path:
    """The wheel's folder of networks and ground truths."""
    try:
        found = importlib.metadata.distribution("lava-dl")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("lava-dl is not installed: no published networks to try")
    return Path(str(found.locate_file("tests/lava/lib/dl/netx")))


def test_ntidigits_with_delays_over_3000_steps(published):
    """The recording runs four steps behind the aligned clock."""
    folder = published / "gts" / "ntidigits"
    model = read(folder / "ntidigits.net")
    spikes = torch.from_numpy(np.load(folder / "input.npy").astype(np.uint8))
    recorded = torch.from_numpy(np.load(folder / "output.npy").astype(np.uint8))
    run = EngineBackend(model).run(spikes.view(1, *model.input_shape, -1))
    assert int(recorded.sum()) == 22_572
    assert run.spikes.shape == (1, *recorded.shape)
    assert run.spikes[0, :, :-4].equal(recorded[:, 4:])


def test_pilotnet_spikes_and_currents_of_a_sample(published):
    """16 steps; layer l is recorded l steps late. v is equal where no neuron spiked."""
    folder = published / "gts" / "pilotnet_lif"
    model = read(folder / "network.net")
    image = np.load(folder / "image.npy").astype(np.int32).transpose(2, 1, 0)
    numbers = [layer.number for layer in model.spiking_layers][1 : 1 + len(PILOTNET)]
    run = EngineBackend(model).run(Inputs.drive(torch.from_numpy(image[None].copy()), 16), numbers)
    for late, (number, name) in enumerate(zip(numbers, PILOTNET, strict=True), 1):
        trace = run.layers[number]
        spikes, u, v = (
            _neurons_first(np.load(folder / f"{name}{part}.npy"))[:, late : late + 16]
            for part in ("", "-u", "-v")
        )
        assert trace.spikes[0].numpy().tolist() == spikes.astype(np.uint8).tolist(), name
        assert np.array_equal(trace.u[0].numpy(), u), name
        assert np.array_equal(trace.v[0].numpy()[~spikes], v[~spikes]), name
    assert run.layers[numbers[0]].spikes.sum() > 0


def _neurons_first(recorded: np.ndarray) -> np.ndarray:
    """W, H, C, time -> neurons in C, H, W order, time."""
    if recorded.ndim == 4:
        recorded = recorded.transpose(2, 1, 0, 3)
    return recorded.reshape(-1, recorded.shape[-1])


def test_mnist_digits_classified_as_published(published):
    """mnist.net, x = pixel / 127.5 - 1, 16 steps: 9921 of 10,000 by the membrane."""
    if "NEUROROBUST_DATA" not in os.environ:
        pytest.skip("set NEUROROBUST_DATA to a folder that holds torchvision's MNIST/raw")
    folder = Path(os.environ["NEUROROBUST_DATA"]) / "MNIST" / "raw"
    pixels = np.frombuffer((folder / "t10k-images-idx3-ubyte").read_bytes(), np.uint8, offset=16)
    labels = np.frombuffer((folder / "t10k-labels-idx1-ubyte").read_bytes(), np.uint8, offset=8)
    model = read(published / "mnist.net")
    drive = np.trunc(76 * (pixels.reshape(-1, *model.input_shape) / 127.5 - 1) + 64)
    run = EngineBackend(model).run(Inputs.drive(torch.from_numpy(drive.astype(np.int32)), 16))
    assert int((run.membrane.numpy().argmax(1) == labels).sum()) == 9921
