"""The Lava runtime against the definition, and what it leaves behind (nothing)."""

import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neurorobust import netx
from neurorobust.backends.base import Backend
from neurorobust.backends.lava.backend import LavaBackend, require_lava
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.errors import BadInput, ModelFileError, UnavailableError
from neurorobust.netx.model import (
    AverageLayer,
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    NetxModel,
    Neuron,
)
from neurorobust.types import Inputs, Run
from tests.build import cuba, neuron

try:
    require_lava()
except UnavailableError as error:
    pytest.skip(str(error), allow_module_level=True)
pytestmark = pytest.mark.lava


def _weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(-40, 60, shape) * 2


def _conv_net() -> NetxModel:
    """On-chip input, conv with bias, flatten, dense with bias and delays, dense, accumulator."""
    rng = np.random.default_rng(1)
    return NetxModel(
        (2, 5, 4),
        (
            InputLayer(0, (2, 5, 4), cuba(200)),
            ConvLayer(
                1,
                (3, 3, 2),
                cuba(60),
                _weights(rng, 3, 2, 3, 3),
                bias=np.array([5, -3, 300]),
                stride=(2, 2),
                padding=(1, 1),
            ),
            FlattenLayer(2, (18, 1, 1)),
            DenseLayer(
                3,
                (6, 1, 1),
                cuba(80),
                _weights(rng, 6, 18),
                bias=np.array([90, 0, -20, 5, 1, 30]),
                delay=rng.integers(0, 7, (6, 18)),
            ),
            DenseLayer(4, (5, 1, 1), neuron(4096, 0, 50), _weights(rng, 5, 6)),
            DenseLayer(5, (4, 1, 1), None, _weights(rng, 4, 5)),
            AverageLayer(6, (4, 1, 1)),
        ),
    )


def _dense_net(seed: int) -> NetxModel:
    """An input that only declares a shape, flatten, two layers with random decays and biases."""
    rng = np.random.default_rng(seed)

    def own() -> Neuron:
        threshold = int(rng.integers(5, 200))
        return neuron(*rng.choice([0, 1, 300, 4095, 4096], 2), threshold)

    hidden = DenseLayer(
        2,
        (7, 1, 1),
        own(),
        rng.integers(-256, 255, (7, 12)),
        bias=rng.integers(-500, 500, 7),
        delay=rng.integers(0, 12, (7, 12)),
    )
    output = DenseLayer(3, (3, 1, 1), own(), _weights(rng, 3, 7), bias=rng.integers(0, 60, 3))
    return NetxModel(
        (2, 3, 2), (InputLayer(0, (2, 3, 2), None), FlattenLayer(1, (12, 1, 1)), hidden, output)
    )


def _spikes(model: NetxModel, batch: int, steps: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand((batch, *model.input_shape, steps), generator=generator)
    return (noise < 0.3).to(torch.uint8)


def _drive(model: NetxModel, batch: int, steps: int, seed: int = 0) -> Inputs:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, *model.input_shape)
    bias = torch.randint(-100, 400, shape, generator=generator, dtype=torch.int32)
    return Inputs.drive(bias, steps)


def _assert_same(run: Run, expected: Run) -> None:
    pairs = [("spikes", run.spikes, expected.spikes), ("v", run.membrane, expected.membrane)]
    assert run.layers.keys() == expected.layers.keys()
    for number, trace in run.layers.items():
        for name in ("spikes", "u", "v"):
            mine, other = getattr(trace, name), getattr(expected.layers[number], name)
            pairs.append((f"{number}/{name}", mine, other))
    for name, mine, other in pairs:
        assert mine.dtype == other.dtype, name
        assert mine.shape == other.shape, name
        assert torch.equal(mine, other), name


def _assert_exact(backend: Backend, inputs: Inputs | torch.Tensor, record: tuple[int, ...]) -> Run:
    expected = ReferenceBackend(backend.model).run(inputs, record)
    run = backend.run(inputs, record)
    _assert_same(run, expected)
    return run


def test_conv_network_with_bias_and_delays_is_exact(remains: Any) -> None:
    model = _conv_net()
    told: list[tuple[int, int]] = []
    with LavaBackend(model, timeout=120, on_sample=lambda *n: told.append(n)) as backend:
        run = _assert_exact(backend, _drive(model, 4, 9), (0, 1, 3, 4, 5))
        assert run.layers[3].spikes.sum() > 10
        assert run.membrane.count_nonzero() > 10
        assert told == [(n, 4) for n in range(1, 5)]
        # the same network without its on-chip input layer; other steps, other records, one by one
        run = _assert_exact(backend, _spikes(model, 3, 12), (1, 5))
        assert run.layers[1].spikes.sum() > 10
        several = backend.run(_spikes(model, 3, 12))
        for index in range(3):
            alone = backend.run(_spikes(model, 3, 12)[index : index + 1])
            assert torch.equal(alone.spikes[0], several.spikes[index])
            assert torch.equal(alone.membrane[0], several.membrane[index])
        _assert_exact(backend, _drive(model, 2, 1, seed=1), ())
        with pytest.raises(BadInput, match=r"^record: layer 0 \(input\) is skipped when spikes"):
            backend.run(_spikes(model, 1, 2), record=(0,))
        with pytest.raises(BadInput, match="record: layer 2 holds no neurons"):
            backend.run(_drive(model, 1, 2), record=(2,))
        leader = remains.worker_of(backend)
        mapped = {
            entry.path
            for process in remains.group(leader)
            for entry in process.memory_maps()
            if entry.path.startswith("/dev/shm/") and Path(entry.path).exists()
        }
        assert mapped == {str(segment) for segment in remains.segments(leader)}
    remains.assert_none(leader)


@pytest.mark.parametrize("seed", [0, 1])
def test_random_dense_networks_are_exact(seed: int, remains: Any) -> None:
    model = _dense_net(seed)
    with LavaBackend(model, timeout=120) as backend:
        _assert_exact(backend, _spikes(model, 5, 14), (2, 3))


def test_a_file_with_one_conv_layer_is_exact(tmp_path: Path, remains: Any) -> None:
    rng = np.random.default_rng(3)
    layer = ConvLayer(
        0, (4, 2, 3), cuba(90), _weights(rng, 4, 2, 2, 1), bias=np.array([0, 70, -9, 3])
    )
    path = tmp_path / "model.net"
    netx.write(NetxModel((2, 3, 3), (InputLayer(0, (2, 3, 3), None), _renumber(layer))), path)
    model = netx.read(path)
    with LavaBackend(model, timeout=120) as backend:
        run = _assert_exact(backend, _spikes(model, 4, 6), (1,))
        assert run.spikes.shape == (4, 24, 6)
        assert run.spikes.sum() > 10
        with path.open("ab") as file:
            file.write(b"x")
        backend.run(_spikes(model, 1, 2))  # the worker has its own copy
        backend.close()
        with pytest.raises(ModelFileError, match=r"model\.net: sha256 \w{12}\.\.\., the model was"):
            backend.run(_spikes(model, 1, 2))
    path.unlink()
    with pytest.raises(ModelFileError, match=r"model\.net: No such file"):
        LavaBackend(model)


def _renumber(layer: ConvLayer) -> ConvLayer:
    return ConvLayer(1, layer.shape, layer.neuron, layer.weight, layer.bias)


STOCK = """
import sys, numpy as np
from lava.lib.dl.netx.hdf5 import Network
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source

network = Network(net_config=sys.argv[1])
spikes = np.load(sys.argv[2])  # C, H, W, time
late = len(network.layers)
data = np.swapaxes(spikes, 0, 2)  # W, H, C, time
data = np.concatenate([data, np.zeros((*data.shape[:-1], late))], axis=-1).astype(int)
source, sink = Source(data=data), Sink(shape=network.out.shape, buffer=data.shape[-1])
source.s_out.connect(network.inp)
network.out.connect(sink.a_in)
steps = RunSteps(num_steps=data.shape[-1])
network.run(condition=steps, run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
np.savez(sys.argv[3], spikes=sink.data.get()[:, late:], v=network.out_layer.neuron.v.get())
network.stop()
"""


def test_one_sample_equals_lava_as_it_comes(tmp_path: Path, remains: Any) -> None:
    """Fresh compile, Lava's own models, source and sink, no reset: without bias that is aligned."""
    rng = np.random.default_rng(5)
    path = tmp_path / "model.net"
    conv = ConvLayer(1, (3, 2, 3), cuba(90), _weights(rng, 3, 2, 2, 2))
    delays = rng.integers(0, 5, (6, 18))
    layers = (
        InputLayer(0, (2, 3, 4), None),
        conv,
        FlattenLayer(2, (18, 1, 1)),
        DenseLayer(3, (6, 1, 1), cuba(60), _weights(rng, 6, 18), delay=delays),
        DenseLayer(4, (4, 1, 1), cuba(40), _weights(rng, 4, 6)),
    )
    netx.write(NetxModel((2, 3, 4), layers), path)
    model = netx.read(path)
    spikes = _spikes(model, 2, 20)
    np.save(tmp_path / "in.npy", spikes[1].numpy())
    arguments = [str(path), str(tmp_path / "in.npy"), str(tmp_path / "out.npz")]
    subprocess.run(
        [sys.executable, "-c", STOCK, *arguments],
        check=True,
        capture_output=True,
        timeout=120,
        cwd=tmp_path,
    )
    stock = np.load(tmp_path / "out.npz")
    with LavaBackend(model, timeout=120) as backend:
        run = backend.run(spikes)
    assert run.spikes[1].sum() > 5
    assert np.array_equal(run.spikes[1].numpy(), stock["spikes"])
    assert np.array_equal(run.membrane[1].numpy(), stock["v"])


def test_no_samples_need_no_worker() -> None:
    model = _conv_net()
    backend = LavaBackend(model)
    run = backend.run(_drive(model, 0, 5), record=(1,))
    _assert_same(run, ReferenceBackend(model).run(_drive(model, 0, 5), record=(1,)))
    assert backend._pool.workers == []


def test_refuses_average_before_other_layers_and_a_bad_limit() -> None:
    layers = (
        DenseLayer(0, (2, 1, 1), cuba(9), np.array([[2, 4], [6, 8]])),
        AverageLayer(1, (2, 1, 1)),
        DenseLayer(2, (2, 1, 1), cuba(9), np.array([[2, 4], [6, 8]])),
    )
    with pytest.raises(ModelFileError, match=r"^layer 1 \(average\): Lava's NetX cannot load it"):
        LavaBackend(NetxModel((2, 1, 1), layers))
    model = NetxModel((2, 1, 1), layers[:1])
    with pytest.raises(BadInput, match="lava: time limit 0 s not above 0"):
        LavaBackend(model, timeout=0)
    with pytest.raises(BadInput, match="lava: workers 0 below 1"):
        LavaBackend(model, workers=0)
    with pytest.raises(BadInput, match="lava: memory limit 0 below 1"):
        LavaBackend(model, memory_limit=0)


def test_an_exception_in_the_callback_ends_the_worker(remains: Any) -> None:
    model = _dense_net(0)
    leaders: list[int] = []

    def interrupt(done: int, total: int) -> None:
        leaders.append(remains.worker_of(backend))
        raise KeyboardInterrupt

    backend = LavaBackend(model, timeout=120, on_sample=interrupt)
    with pytest.raises(KeyboardInterrupt):
        backend.run(_spikes(model, 50, 10))
    remains.assert_none(leaders[0])


SCRIPT = """
import sys, numpy as np, torch
from neurorobust import netx
from neurorobust.backends.lava.backend import LavaBackend

model = netx.read(sys.argv[1])
backend = LavaBackend(model, timeout=120, workers=1)
backend.run(torch.ones((2, *model.input_shape, 3), dtype=torch.uint8))
print(backend._pool.workers[0].pid, flush=True)
if len(sys.argv) > 2:
    backend.run(torch.ones((2000, *model.input_shape, 100), dtype=torch.uint8))
    print("not reached", flush=True)
"""


@pytest.fixture
def script(tmp_path: Path) -> Iterator[list[str]]:
    """A program that runs Lava once, says its worker, and ends without closing, or runs on."""
    netx.write(_dense_net(0), tmp_path / "model.net")
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    yield [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "model.net")]
    shutil.rmtree(tmp_path)


def test_a_program_that_forgets_to_close_prints_its_own_lines_only(
    script: list[str], remains: Any
) -> None:
    result = subprocess.run(script, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert len(result.stdout.split()) == 1
    remains.assert_none(int(result.stdout))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_to_the_parent_ends_everything(
    script: list[str], number: signal.Signals, remains: Any
) -> None:
    with subprocess.Popen(
        [*script, "long"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        leader = int(program.stdout.readline())
        time.sleep(0.3)
        assert len(remains.group(leader)) > 3
        if number is signal.SIGKILL:  # one that does not hear a SIGTERM, in whatever way
            remains.group(leader)[-1].suspend()
        program.send_signal(number)
        output, errors = program.communicate(timeout=300)
    assert output == ""
    if number is signal.SIGINT:
        assert errors.strip().endswith("KeyboardInterrupt")  # the program waited for the rest
    else:
        assert program.returncode == -number
        remains.await_guard(leader)
    remains.assert_none(leader)
