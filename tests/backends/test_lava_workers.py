"""Several workers are one, wherever they are started from; and nothing leaks between samples."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neurorobust import netx
from neurorobust.backends.lava.backend import LavaBackend, require_lava
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.errors import UnavailableError
from neurorobust.netx.model import DenseLayer, NetxModel, RecurrentLayer
from neurorobust.types import Run
from tests.build import cuba

try:
    require_lava()
except UnavailableError as error:
    pytest.skip(str(error), allow_module_level=True)
pytestmark = pytest.mark.lava


def leaky() -> NetxModel:
    """Biases that integrate when nothing arrives, delays that reach into the next sample."""
    rng = np.random.default_rng(2)
    return NetxModel(
        (10, 1, 1),
        (
            DenseLayer(
                0,
                (8, 1, 1),
                cuba(90),
                rng.integers(-30, 60, (8, 10)) * 2,
                rng.integers(5, 60, 8),
                rng.integers(0, 9, (8, 10)),
            ),
            DenseLayer(1, (5, 1, 1), cuba(70), rng.integers(-30, 60, (5, 8)) * 2),
        ),
    )


def events(batch: int, steps: int = 12) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(batch, 10, 1, 1, steps, generator=generator) < 0.3).to(torch.uint8)


def assert_same(run: Run, expected: Run) -> None:
    assert expected.spikes.any()
    assert torch.equal(run.spikes, expected.spikes)
    assert torch.equal(run.membrane, expected.membrane)
    assert run.layers.keys() == expected.layers.keys()
    for number, trace in expected.layers.items():
        for name in ("spikes", "u", "v"):
            assert torch.equal(getattr(run.layers[number], name), getattr(trace, name))


def test_three_workers_answer_as_one_in_order(remains: Any) -> None:
    model, inputs = leaky(), events(11)
    expected = ReferenceBackend(model).run(inputs, (0, 1))
    told: list[tuple[int, int]] = []
    with LavaBackend(model, timeout=120, workers=3, on_sample=lambda *n: told.append(n)) as many:
        assert_same(many.run(inputs, (0, 1)), expected)
        assert len(remains.workers_of(many)) == 3
        assert_same(many.run(inputs[:2]), ReferenceBackend(model).run(inputs[:2]))
        found = many.measured()
    assert told[10] == (11, 11)
    assert [done for done, _ in told[:11]] == list(range(1, 12))
    assert (found["workers"], found["workers_started"], found["samples"]) == (3, 3, 13)
    assert found["seconds"] > found["starting_seconds"] > 0
    working = found["seconds"] - found["starting_seconds"]
    assert found["samples_per_second"] == pytest.approx(13 / working, rel=0.02)
    assert list(remains.temporary.iterdir()) == []


def test_sparse_processes_compute_the_same(remains: Any) -> None:
    model, inputs = leaky(), events(4)
    rng = np.random.default_rng(0)
    feedback = rng.integers(-30, 30, (4, 4)) * 2
    layer = RecurrentLayer(2, (4, 1, 1), cuba(60), rng.integers(-9, 60, (4, 5)) * 2, feedback)
    model = NetxModel(model.input_shape, (*model.layers, layer))
    with LavaBackend(model, timeout=120, workers=1, sparse=True) as backend:
        assert_same(backend.run(inputs, (0, 1, 2)), ReferenceBackend(model).run(inputs, (0, 1, 2)))


CHILD = """
import multiprocessing, sys
import numpy as np, torch
from neurorobust import netx
from neurorobust.backends.lava.backend import LavaBackend

def work(backend, inputs, results):
    with backend:
        results.put(backend.run(inputs).spikes.numpy())

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    inputs = torch.from_numpy(np.load("inputs.npy"))
    with LavaBackend(netx.read("model.net"), timeout=120, workers=1) as backend:
        first = backend.run(inputs).spikes.numpy()
        workers = [worker.pid for worker in backend._pool.workers]
        results = context.Queue()
        child = context.Process(target=work, args=(backend, inputs, results), daemon=True)
        child.start()
        theirs = results.get(timeout=60)
        child.join(30)
        assert child.exitcode == 0, child.exitcode
        assert np.array_equal(theirs, first)
        # the child left its parent's worker alone
        assert np.array_equal(backend.run(inputs).spikes.numpy(), first)
        assert [worker.pid for worker in backend._pool.workers] == workers
    np.save("outputs.npy", theirs)
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_either_kind_start_workers_of_their_own(
    method: str, remains: Any, tmp_path: Path
) -> None:
    model, inputs = leaky(), events(3)
    netx.write(model, tmp_path / "model.net")
    np.save(tmp_path / "inputs.npy", inputs.numpy())
    (tmp_path / "child.py").write_text(CHILD)
    done = subprocess.run(
        [sys.executable, "child.py", method],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = ReferenceBackend(model).run(inputs)
    assert expected.spikes.any()
    assert np.array_equal(np.load(tmp_path / "outputs.npy"), expected.spikes.numpy())
    assert list(remains.temporary.iterdir()) == []


def test_a_pickled_backend_has_no_workers(remains: Any) -> None:
    copy = pickle.loads(pickle.dumps(LavaBackend(leaky(), timeout=7, workers=2)))
    assert copy._pool.workers == []
    assert (copy.timeout, copy.measured()["workers"], copy.model.input_shape) == (7, 2, (10, 1, 1))


NAIVE = """
import sys, numpy as np
from lava.lib.dl.netx.hdf5 import Network
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source

how, spikes = sys.argv[1], np.load("spikes.npy").astype(np.int32)  # sample, neuron, time
steps = spikes.shape[-1]
if how == "reset":  # NetX's own: one long stream, every layer reset as its samples begin
    network = Network("model.net", input_shape=(10,), reset_interval=steps, reset_offset=1)
    data = np.concatenate([*spikes, np.zeros((10, 3), np.int32)], -1)
    source, sink = Source(data=data), Sink(shape=network.out.shape, buffer=data.shape[-1])
else:  # compile once; for each sample set the source, zero u and v, run on
    network = Network("model.net", input_shape=(10,))
    padded = np.concatenate([spikes, np.zeros((*spikes.shape[:-1], 2), np.int32)], -1)
    source, sink = Source(data=padded[0]), Sink(shape=network.out.shape, buffer=steps + 2)
source.s_out.connect(network.inp)
network.out.connect(sink.a_in)
settings = Loihi2SimCfg(select_tag="fixed_pt")
answers = []
if how == "reset":
    network.run(RunSteps(num_steps=data.shape[-1]), run_cfg=settings)
    # layer l's local step k of sample s is column s * T + k + 1 + l
    answers = [sink.data.get()[:, s * steps + 2 : (s + 1) * steps + 2] for s in range(len(spikes))]
else:
    for index, sample in enumerate(padded):
        if index:
            source.data.set(sample)
            for block in network.layers:
                block.neuron.u.set(np.zeros(block.neuron.u.shape))
                block.neuron.v.set(np.zeros(block.neuron.v.shape))
        network.run(RunSteps(num_steps=steps + 2), run_cfg=settings)
        answers.append(sink.data.get()[:, 2:])
network.stop()
np.save(f"{how}.npy", np.stack(answers))
"""


@pytest.mark.slow
def test_the_naive_pattern_leaks_and_ours_does_not(remains: Any, tmp_path: Path) -> None:
    """Lava's resets clear u and v, not what synapses hold or delay: the next sample feels it."""
    model, inputs = leaky(), events(6, 16)
    netx.write(model, tmp_path / "model.net")
    np.save(tmp_path / "spikes.npy", inputs[:, :, 0, 0].numpy())
    expected = ReferenceBackend(model).run(inputs)
    with LavaBackend(model, timeout=120, workers=1) as backend:
        run = backend.run(inputs)
        turned = backend.run(inputs.flip(0))
    assert_same(run, expected)
    assert torch.equal(turned.spikes.flip(0), run.spikes)
    wrong = {}
    for how in ("reset", "zero"):
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", NAIVE, how],
            cwd=tmp_path,
            check=True,
            capture_output=True,
            timeout=120,
        )
        naive = np.load(tmp_path / f"{how}.npy")
        wrong[how] = (naive != expected.spikes.numpy()).reshape(6, -1).sum(1)
    assert wrong["reset"][0] == 0  # the alignment is right: it is what came before that leaks
    assert wrong["reset"][1:].all()
    assert wrong["zero"][1:].any()
