"""Recurrent layers and the global clock in Lava's runtime."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from neurorobust import netx
from neurorobust.backends.lava.backend import LavaBackend, require_lava
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.errors import BadInput, UnavailableError
from neurorobust.netx.model import DenseLayer, NetxModel, RecurrentLayer
from tests.build import cuba

try:
    require_lava()
except UnavailableError as error:
    pytest.skip(str(error), allow_module_level=True)
pytestmark = pytest.mark.lava


def network() -> NetxModel:
    """A busy recurrent layer with bias, a delayed dense layer with bias, a recurrent output."""
    rng = np.random.default_rng(3)

    def weights(*shape: int) -> np.ndarray:
        return rng.integers(-40, 60, shape) * 2

    return NetxModel(
        (12, 1, 1),
        (
            RecurrentLayer(
                0, (7, 1, 1), cuba(60), weights(7, 12), weights(7, 7), rng.integers(-9, 30, 7)
            ),
            DenseLayer(
                1,
                (6, 1, 1),
                cuba(70),
                weights(6, 7),
                bias=rng.integers(-9, 30, 6),
                delay=rng.integers(0, 4, (6, 7)),
            ),
            RecurrentLayer(2, (4, 1, 1), cuba(50), weights(4, 6), weights(4, 4)),
        ),
    )


def events(batch: int, steps: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(batch, 12, 1, 1, steps, generator=generator) < 0.3).to(torch.uint8)


def test_recurrent_layers_are_exact_and_samples_do_not_mix() -> None:
    model, inputs = network(), events(5, 15)
    reference = ReferenceBackend(model)
    expected = reference.run(inputs, (0, 1, 2))
    with LavaBackend(model, timeout=120) as backend:
        run = backend.run(inputs, (0, 1, 2))
        with pytest.raises(BadInput, match="clock: 'global' is not run by lava, use reference"):
            backend.run(inputs, clock="global")
    assert torch.equal(run.spikes, expected.spikes)
    assert torch.equal(run.membrane, expected.membrane)
    for number, trace in run.layers.items():
        assert 0.05 < trace.spikes.float().mean() < 0.95
        for name in ("spikes", "u", "v"):
            assert torch.equal(getattr(trace, name), getattr(expected.layers[number], name)), name


STOCK = """
import sys, numpy as np
from lava.lib.dl.netx.hdf5 import Network
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source

spikes = np.load("spikes.npy").astype(np.int32)
network = Network(net_config="model.net", input_shape=(12,))
source = Source(data=spikes)
source.s_out.connect(network.inp)
sinks = [Sink(shape=block.neuron.s_out.shape, buffer=spikes.shape[-1]) for block in network.layers]
for block, sink in zip(network.layers, sinks):
    block.neuron.s_out.connect(sink.a_in)
states = {name: [[] for _ in sinks] for name in "uv"}
for step in range(spikes.shape[-1]):
    network.run(RunSteps(num_steps=1), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    for index, block in enumerate(network.layers):
        for name, kept in states.items():
            kept[index].append(getattr(block.neuron, name).get())
for index, sink in enumerate(sinks):
    np.save(f"spikes{index}.npy", sink.data.get())
    for name, kept in states.items():
        np.save(f"{name}{index}.npy", np.stack(kept[index], -1))
network.stop()
"""


def test_the_global_clock_is_lava_as_it_comes(tmp_path: Path) -> None:
    """NetX's network with its ring buffers, no resets, nothing shifted afterwards."""
    model, inputs = network(), events(1, 20)
    netx.write(model, tmp_path / "model.net")
    np.save(tmp_path / "spikes.npy", inputs[0, :, 0, 0].numpy())
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", STOCK],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    run = ReferenceBackend(model).run(inputs, (0, 1, 2), clock="global")
    for number, trace in run.layers.items():
        assert trace.spikes.sum() > 10
        for name in ("spikes", "u", "v"):
            recorded = np.load(tmp_path / f"{name}{number}.npy")
            assert np.array_equal(recorded, getattr(trace, name)[0].numpy()), (number, name)
