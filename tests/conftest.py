"""What several test folders share."""

from __future__ import annotations

import importlib.util
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

from tests import shapes

shapes.hold()  # before anything imports the package

from neurorobust.backends.base import InProcess
from neurorobust.backends.engine import EngineBackend
from neurorobust.classifier import Classifier
from neurorobust.encoders import DirectEncoder, DriveEncoder, LatencyEncoder, PoissonEncoder
from neurorobust.netx.model import DenseLayer, InputLayer, NetxModel, Neuron
from neurorobust.readouts import Readout
from neurorobust.types import Inputs, Run

WheelNet = Callable[[str], Path]

# How long an example takes says how busy the machine is, not whether a rule holds.
settings.register_profile(
    "neurorobust", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("neurorobust")


def pytest_configure() -> None:
    """A shell starts what runs in its background with Ctrl-C ignored, and so for all children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers one of them has all of Lava: tests of what it leaves see only it."""
    for item in items:
        if item.get_closest_marker("lava") is not None:
            item.add_marker(pytest.mark.xdist_group("lava"))


@pytest.fixture(scope="session")
def wheel_net() -> WheelNet:
    """Where the installed lava-dl wheel keeps a published network, e.g. `mnist.net`."""

    def find(name: str) -> Path:
        spec = importlib.util.find_spec("lava")  # its tests are installed beside it
        folders = list(spec.submodule_search_locations or ()) if spec is not None else []
        for folder in folders:
            path = Path(folder).parent / "tests/lava/lib/dl/netx" / name
            if path.is_file():
                return path
        pytest.skip(f"needs the lava-dl wheel, which holds {name}")

    return find


class LinearBackend(InProcess):
    """membrane = weight @ x, in floats and with gradients: what can be solved on paper."""

    name = "linear"
    about, query_batch = "a double for tests", 64

    def __init__(self, weight: torch.Tensor, shape: tuple[int, int, int]) -> None:
        self.weight = weight
        layer = DenseLayer(0, (len(weight), 1, 1), None, weight.numpy().astype(np.int64))
        self.model = NetxModel(shape, (layer,), sha256="0" * 64)

    def run(self, inputs: Any, record: Any = ()) -> Run:
        x = inputs.values
        membrane = x.to(torch.float32).flatten(1) @ self.weight.T
        return Run(torch.zeros(*membrane.shape, 1), membrane, {})

    def forward(self, inputs: Any, surrogate: Any) -> Run:
        return self.run(inputs)


class PixelEncoder:
    """The picture itself, as it is."""

    name, domain, steps, random = "pixels", "images", 1, False

    def encode(self, x: torch.Tensor, generator: Any = None) -> Inputs:
        return Inputs.drive(x, 1)

    forward = encode


@pytest.fixture(scope="session")
def linear() -> Callable[..., Classifier]:
    """`linear(weight [classes, features], domain)`: x is [batch, 1, 1, features], or spikes."""

    def make(weight: torch.Tensor, domain: str = "images", scale: float = 1.0) -> Classifier:
        if domain == "images":
            shape = (1, 1, weight.shape[1])
            return Classifier(
                PixelEncoder(), LinearBackend(weight, shape), Readout("membrane", scale)
            )
        shape = (weight.shape[1], 1, 1)
        return Classifier(
            DirectEncoder(shape), LinearBackend(weight, shape), Readout("membrane", scale)
        )

    return make


@pytest.fixture(scope="session")
def spiking() -> Callable[..., Classifier]:
    """`spiking(encoder, seed=…)`: a random network on the engine, 16-24-4."""

    def make(
        encoder: str = "drive", seed: int = 3, steps: int = 12, readout: str = "count"
    ) -> Classifier:
        rng = np.random.default_rng(seed)
        cuba = Neuron(*(np.array(value) for value in (1024, 256, 64)))
        out = Neuron(*(np.array(value) for value in (1024, 128, 64)))
        shape = (16, 1, 1)
        layers: tuple[Any, ...] = (
            DenseLayer(1, (24, 1, 1), cuba, 2 * rng.integers(-40, 50, (24, 16))),
            DenseLayer(
                2,
                (4, 1, 1),
                out if readout == "count" else None,  # None: an accumulator, whose membrane is read
                2 * rng.integers(-40, 50, (4, 24)),
            ),
        )
        if encoder == "drive":
            own = Neuron(np.array(4096), np.array(0), np.array(64))
            layers = (InputLayer(0, shape, own, weight=60.0, bias=4.0), *layers)
        backend = EngineBackend(NetxModel(shape, layers, sha256=f"{seed:064x}"))
        encoders = {
            "drive": lambda: DriveEncoder(shape, 60.0, 4.0, 0.5, 0.5, steps),
            "poisson": lambda: PoissonEncoder(shape, steps),
            "latency": lambda: LatencyEncoder(shape, steps),
            "direct": lambda: DirectEncoder(shape),
        }
        return Classifier(encoders[encoder](), backend, Readout(readout, 1.0))

    return make
