"""Published networks and chip recordings of the lava-dl wheel: what they are known to answer.

The recordings lag the aligned clock by a fixed number of steps each: one per synapse, and one more
where the recorder itself came late.
"""

from __future__ import annotations

import importlib.metadata
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
import torch

from neurorobust.backends.base import Backend
from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.errors import ModelFileError
from neurorobust.netx import DenseLayer, NetxModel, Neuron, read
from neurorobust.types import Inputs

pytestmark = pytest.mark.lava

Make = Callable[[NetxModel], Backend]
REFRACTORY = 128  # what a chip's v reads in the step of a spike; 0 in Lava's simulation


@pytest.fixture(scope="module")
def wheel() -> Path:
    """Where the installed lava-dl keeps its test networks and recordings."""
    try:
        distribution = importlib.metadata.distribution("lava-dl")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("needs lava-dl's wheel")
    folder = Path(str(distribution.locate_file("tests/lava/lib/dl/netx")))
    if not (folder / "mnist.net").is_file():
        pytest.skip(f"lava-dl was installed without its tests: no {folder / 'mnist.net'}")
    return folder


@pytest.fixture(params=[ReferenceBackend, EngineBackend], ids=["reference", "engine"])
def make(request: pytest.FixtureRequest) -> Make:
    return request.param


def spikes_of(events: npt.NDArray[Any], shape: tuple[int, int, int]) -> torch.Tensor:
    """One sample [inputs, time] as [1, C, H, W, time]."""
    return torch.from_numpy(events.astype(np.uint8)).reshape(1, *shape, events.shape[-1])


def by_neuron(recording: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """[W, H, C, time] or [neurons, time] to [neurons in C, H, W order, time]."""
    if recording.ndim == 4:
        recording = recording.transpose(2, 1, 0, 3)
    return recording.reshape(-1, recording.shape[-1])


def test_dense_recording(wheel: Path, make: Make) -> None:
    folder = wheel / "gts" / "dense"
    weight, events = np.load(folder / "weight.npy"), np.load(folder / "in.npy")
    recorded = np.load(folder / "out.npy")
    neuron = Neuron(np.array([4096]), np.array([415]), np.array([6]))
    model = NetxModel((200, 1, 1), (DenseLayer(0, (256, 1, 1), neuron, weight),))
    run = make(model).run(spikes_of(events, model.input_shape), record=[0])
    spikes = run.spikes[0].numpy()
    assert spikes.sum() == 1826
    assert not recorded[:, 0].any()
    assert np.array_equal(spikes[:, :-1], recorded[:, 1:])
    current = np.load(folder / "current.npy")
    assert np.array_equal(run.layers[0].u[0].numpy()[:, :-1], current[:, 1:] * 64)


@pytest.mark.parametrize(
    ("number", "name", "spikes"), [(0, "input", 6783), (1, "layer1", 1633), (2, "output", 92)]
)
def test_tiny_network_recording(
    wheel: Path, make: Make, number: int, name: str, spikes: int
) -> None:
    folder = wheel / "gts" / "tinynet"
    drive = np.load(folder / "input_bias.npy").transpose(2, 1, 0).astype(np.int32)
    inputs = Inputs.drive(torch.from_numpy(drive)[None], steps=15)
    trace = make(read(wheel / "tiny.net")).run(inputs, record=[number]).layers[number]
    recorded = np.load(folder / f"{name}.npy")[0].reshape(-1, 16)[:, 1:]
    assert recorded.sum() == spikes
    assert np.array_equal(trace.spikes[0].numpy(), recorded)
    if number == 1:
        current = np.load(folder / "current.npy")[0].reshape(-1, 16)[:, 1:]
        assert np.array_equal(trace.u[0].numpy(), current * 64)


def test_ntidigits_recording_with_axonal_delays(wheel: Path, make: Make) -> None:
    folder = wheel / "gts" / "ntidigits"
    model = read(folder / "ntidigits.net")
    steps, total = (3000, 22572) if make is EngineBackend else (600, 21025)
    recorded = np.load(folder / "output.npy")[:, :steps]
    events = np.load(folder / "input.npy")[:, :steps]
    spikes = make(model).run(spikes_of(events, model.input_shape)).spikes[0].numpy()
    assert recorded.sum() == total
    assert not recorded[:, :4].any()
    assert np.array_equal(spikes[:, :-4], recorded[:, 4:])


def test_lava_cannot_load_an_average_layer(wheel: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hdf5 = pytest.importorskip("lava.lib.dl.netx.hdf5", reason="needs Lava")
        with pytest.raises(NotImplementedError, match="average is not implemented"):
            hdf5.Network(net_config=str(wheel / "gts" / "ntidigits" / "ntidigits.net"))


PILOTNET = {1: "conv-0", 2: "conv-1", 3: "conv-2", 4: "conv-3", 5: "conv-4"} | {
    7: "fc-0",
    8: "fc-1",
    9: "fc-2",
}


def test_pilotnet_recording(wheel: Path, make: Make) -> None:
    """The chip's first sample, 16 steps: spikes and u; v but for its refractory mark."""
    folder = wheel / "gts" / "pilotnet_lif"
    drive = np.load(folder / "image.npy").transpose(2, 1, 0).astype(np.int32).copy()
    backend = make(read(folder / "network.net"))
    run = backend.run(Inputs.drive(torch.from_numpy(drive)[None], 16), record=[0, *PILOTNET])

    entered = by_neuron(np.load(folder / "input.npy"))[:, :16]
    assert np.array_equal(run.layers[0].spikes[0].numpy(), entered)
    for lag, (number, name) in enumerate(PILOTNET.items(), start=1):
        trace = run.layers[number]
        spikes, u, v = (
            by_neuron(np.load(folder / f"{name}{suffix}.npy"))[:, lag : lag + 16]
            for suffix in ("", "-u", "-v")
        )
        assert spikes.any(), name
        assert np.array_equal(trace.spikes[0].numpy(), spikes), name
        assert np.array_equal(trace.u[0].numpy(), u), name
        assert np.array_equal(np.where(spikes, REFRACTORY, trace.v[0].numpy()), v), name


# ---- what is in the wheel too, and is no network of CUBA neurons


def stored(path: Path, layers: list[dict[str, Any]]) -> Path:
    """A `.net` file of these fields."""
    with h5py.File(path, "w") as file:
        for number, fields in enumerate(layers):
            for name, value in fields.items():
                file[f"layer/{number}/{name}"] = value
    return path


def test_complex_dense_is_refused_by_name(wheel: Path, tmp_path: Path) -> None:
    folder = wheel / "gts" / "complex_dense"
    real, imaginary = np.load(folder / "weight_r.npy"), np.load(folder / "weight_img.npy")
    neuron = {"neuron/type": "RF_PHASE", "neuron/vThMant": 25}
    layer = {"type": "dense_comp", "shape": [256], "weight/real": real, "weight/imag": imaginary}
    with pytest.raises(ModelFileError, match=r"type 'dense_comp' unknown, .*: complex"):
        read(stored(tmp_path / "a.net", [layer | neuron]))
    with pytest.raises(
        ModelFileError, match=r"layer 0 \(dense\): weight/real, weight/imag: complex"
    ):
        read(stored(tmp_path / "b.net", [layer | neuron | {"type": "dense"}]))


def test_tinynet_sdnn_is_refused_by_name(wheel: Path, tmp_path: Path) -> None:
    folder = wheel / "gts" / "tinynet_sdnn"
    neuron = {"neuron/type": "SDNN", "neuron/vThMant": 20, "neuron/activation": "ReLU"}
    kernel = np.load(folder / "layer1_kernel.npy").transpose(0, 3, 2, 1)
    pairs = {"stride": [2, 2], "padding": [0, 0], "dilation": [1, 1], "groups": 1}
    conv = {"type": "conv", "shape": [24, 6, 6], "weight": kernel} | pairs | neuron
    conv["bias"] = np.load(folder / "layer1_bias.npy")
    shape = {"type": "input", "shape": [3, 16, 16]}
    with pytest.raises(ModelFileError, match=r"layer 1 \(conv\): neuron type 'SDNN' unknown"):
        read(stored(tmp_path / "conv.net", [shape, conv]))
    weight = np.load(folder / "layer2_weight.npy")
    dense = {"type": "dense", "shape": [100], "weight": weight} | neuron
    with pytest.raises(ModelFileError, match=r"layer 0 \(dense\): neuron type 'SDNN' unknown"):
        read(stored(tmp_path / "dense.net", [dense]))


@pytest.mark.parametrize("name", ["network.net", "square_network.net"])
def test_pilotnet_sdnn_is_refused_by_name(wheel: Path, name: str) -> None:
    with pytest.raises(ModelFileError, match=r"layer 0 \(input\): neuron type 'SDNN' unknown"):
        read(wheel / "gts" / "pilotnet_sdnn" / name)


# ---- mnist.net on MNIST


@pytest.fixture(scope="module")
def digits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The 10,000 test digits [digit, pixel] and their labels."""
    root = os.environ.get("NEUROROBUST_DATA")
    if not root:
        pytest.skip("NEUROROBUST_DATA is unset: no MNIST (torchvision's layout) to test on")
    raw = Path(root) / "MNIST" / "raw"
    if not (raw / "t10k-images-idx3-ubyte").is_file():
        pytest.skip(f"no MNIST in {raw}")
    images = np.fromfile(raw / "t10k-images-idx3-ubyte", dtype=np.uint8)[16:].reshape(-1, 784)
    labels = np.fromfile(raw / "t10k-labels-idx1-ubyte", dtype=np.uint8)[8:].astype(np.int64)
    return images, labels


def drive_of(x: npt.NDArray[np.float64]) -> Inputs:
    """16 steps of trunc(76 x + 64), the transform that mnist.net's input layer states."""
    bias = np.trunc(76 * x + 64).astype(np.int32)
    return Inputs.drive(torch.from_numpy(bias).reshape(-1, 784, 1, 1), 16)


def answers(backend: Backend, drive: Inputs) -> npt.NDArray[np.int64]:
    return backend.run(drive).membrane.numpy().argmax(axis=1)


def test_mnist_accuracy(wheel: Path, digits: Any) -> None:
    images, labels = digits
    engine = EngineBackend(read(wheel / "mnist.net"))
    correct = answers(engine, drive_of(images / 127.5 - 1)) == labels
    assert (correct.sum(), len(correct)) == (9921, 10000)


def test_mnist_sample_by_sample(wheel: Path, digits: Any) -> None:
    images, _ = digits
    model = read(wheel / "mnist.net")
    drive = drive_of(images[:20] / 127.5 - 1)
    numbers = [layer.number for layer in model.spiking_layers]
    expected = ReferenceBackend(model).run(drive, record=numbers)
    run = EngineBackend(model).run(drive, record=numbers)
    assert run.membrane.equal(expected.membrane)
    for number in numbers:
        for name in ("spikes", "u", "v"):
            got, wanted = (getattr(r.layers[number], name) for r in (run, expected))
            assert got.equal(wanted), f"layer {number}: {name}"


@pytest.mark.parametrize(("unit", "right"), [(255, 205), (1, 214)])
def test_mnist_needs_its_scaling(wheel: Path, digits: Any, unit: int, right: int) -> None:
    """Fed pixels in 0..1 or 0..255, the network runs without complaint and guesses."""
    images, labels = digits
    engine = EngineBackend(read(wheel / "mnist.net"))
    correct = answers(engine, drive_of(images[:1000] / unit)) == labels[:1000]
    assert (correct.sum(), len(correct)) == (right, 1000)
