"""The pains of deployment that are ended elsewhere than in export (tests/export/test_pains.py).

Numbered as people report them: 4, 5, 6, 9, 13 and 14 are there.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.parity import VARIABLES, parity
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.backends.registry import Settings, open_backend
from neurorobust.errors import (
    BackendError,
    HardwareUnavailable,
    ModelFileError,
    UnavailableError,
)
from neurorobust.fixedpoint import STATE_LIMIT
from neurorobust.netx import DenseLayer, NetxModel, read, rules, write
from neurorobust.netx.bounds import bounds
from neurorobust.verify.lint import lint
from tests.build import cuba, neuron

BIASED = np.array([9, -3, 4])


def network(**changes: Any) -> NetxModel:
    """8-6-3 with a bias behind the first layer and, on request, delays."""
    rng = np.random.default_rng(4)
    hidden = DenseLayer(0, (6, 1, 1), cuba(), 2 * rng.integers(-30, 60, (6, 8)))
    last = DenseLayer(1, (3, 1, 1), cuba(), 2 * rng.integers(-30, 60, (3, 6)), bias=BIASED)
    return NetxModel((8, 1, 1), (hidden, replace(last, **changes)))


def spikes(batch: int, inputs: int = 8, steps: int = 12, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(batch, inputs, 1, 1, steps, generator=generator) < 0.4).to(torch.uint8)


def test_pain_01_a_collapse_after_export_is_traced_to_a_layer_neuron_and_step() -> None:
    damaged = network()
    weight = damaged.layers[1].weight.copy()  # type: ignore[union-attr]
    weight[2, 3] += 8
    damaged = network(weight=weight)
    x = spikes(20)
    whole = parity(ReferenceBackend(network()), ReferenceBackend(network()), x)
    assert whole.identical
    found = parity(ReferenceBackend(network()), ReferenceBackend(damaged), x, variables=VARIABLES)
    assert not found.identical
    said = found.first_difference
    assert said is not None
    one, other = (
        ReferenceBackend(net).run(x, record=[1]).layers[1].u for net in (network(), damaged)
    )
    differs = one != other
    assert differs.any((0, 2)).tolist() == [False, False, True]  # neuron 2's weight was changed
    step = int(differs.any(0).any(0).nonzero()[0])
    sample = int(differs[:, 2, step].nonzero()[0])
    assert "layer 1" in said
    assert f"step {step}" in said
    assert f"sample {sample}" in said
    assert "neuron 2" in said


@pytest.mark.lava
def test_pain_02_sample_boundaries_latency_and_resets_are_hidden() -> None:
    """In any order, alone or together: the same answers, in the same columns as the reference's."""
    late = network(delay=np.arange(18).reshape(3, 6) % 5)
    x = spikes(4)
    wanted = ReferenceBackend(late).run(x, record=[0, 1])
    with open_backend("lava", late) as lava:
        together = lava.run(x, record=[0, 1])
        backwards = lava.run(x.flip(0))
        alone = lava.run(x[2:3])
    for number in (0, 1):
        assert torch.equal(together.layers[number].spikes, wanted.layers[number].spikes)
        assert torch.equal(together.layers[number].v, wanted.layers[number].v)
    assert torch.equal(backwards.spikes.flip(0), wanted.spikes)
    assert torch.equal(alone.spikes, wanted.spikes[2:3])


def test_pain_03_a_missing_hardware_stack_is_named_by_the_probe_that_failed() -> None:
    with pytest.raises(UnavailableError) as caught, open_backend("loihi2", network()) as board:
        board.run(spikes(1))
    said = str(caught.value)
    if importlib.util.find_spec("lava") is not None:
        assert isinstance(caught.value, HardwareUnavailable)
    assert "\n" not in said
    assert "NameError" not in said
    assert "lava.magma.compiler.subcompilers.nc" in said or "lava: not installed" in said


def test_pain_07_weight_ranges_are_linted_with_value_limit_and_remedy(tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "model.net"
    write(network(), path)
    with h5py.File(path, "r+") as file:
        file["layer/0/weight"][0, 0] = 300
    with pytest.raises(ModelFileError) as caught:
        read(path)
    assert "layer 0 (dense): weight 300 outside [-256, 254]" in str(caught.value)
    verdict, _ = lint(str(path))
    (found,) = (one for one in verdict.findings if one.rule.severity == "error")
    assert (found.code, found.place) == (rules.WEIGHT_RANGE, "layer 0 (dense)")
    assert found.message == "weight 300 outside [-256, 254]"
    assert "clamp weights" in found.rule.remedy


def test_pain_08_an_overflow_of_u_is_bounded_before_anything_runs() -> None:
    """600 inputs of weight 250 wrap; 500 cannot, and the bound says so."""
    wide, narrow = (
        DenseLayer(0, (1, 1, 1), neuron(0, 4096, 60), np.full((1, count), 250))
        for count in (600, 500)
    )
    assert bounds(wide, 1).wraps.all()
    assert not bounds(narrow, 1).wraps.any()
    for layer, wraps in ((wide, True), (narrow, False)):
        inputs = layer.weight.shape[1]
        model = NetxModel((inputs, 1, 1), (layer,))
        x = torch.ones(1, inputs, 1, 1, 1, dtype=torch.uint8)
        u = int(EngineBackend(model).run(x, record=[0]).layers[0].u)
        assert (u < 0) is wraps
        assert u == inputs * 250 * 64 - wraps * 2 * STATE_LIMIT


@pytest.mark.lava
def test_pain_10_a_run_that_takes_too_long_ends_and_leaves_no_process() -> None:
    import psutil

    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with (
        pytest.raises(BackendError, match=r"0.05 s"),
        open_backend("lava", network(), Settings(timeout=0.05, workers=1)) as lava,
    ):
        lava.run(spikes(200, steps=60))
    left = [
        child for child in psutil.Process().children(recursive=True)
        if child.pid not in before and child.status() != psutil.STATUS_ZOMBIE
    ]  # fmt: skip
    assert left == []


SPAWNED = """
import multiprocessing, sys
import torch
from neurorobust import netx
from neurorobust.backends.lava.backend import LavaBackend

def answer(path):
    with LavaBackend(netx.read(path), workers=1) as lava:
        x = torch.zeros(1, 8, 1, 1, 12, dtype=torch.uint8)
        x[:, :, :, :, ::2] = 1
        return int(lava.run(x).spikes.sum())

if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[2]).Pool(1) as pool:
        print(pool.apply(answer, (sys.argv[1],)))
"""


@pytest.mark.lava
@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_pain_11_lava_runs_in_children_of_either_start_method(method: str, tmp_path: Path) -> None:
    path, script = tmp_path / "model.net", tmp_path / "script.py"
    model = write(network(), path)
    script.write_text(SPAWNED, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script), str(path), method],
        capture_output=True, text=True, timeout=200, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-1500:]
    x = torch.zeros(1, 8, 1, 1, 12, dtype=torch.uint8)
    x[:, :, :, :, ::2] = 1
    assert int(done.stdout) == int(ReferenceBackend(model).run(x).spikes.sum()) > 0


def test_pain_12_a_batch_is_one_call_and_says_what_one_sample_says() -> None:
    """Speed comes from batches; here that they change nothing (times: benchmarks/)."""
    x = spikes(300)
    engine = EngineBackend(network())
    whole = engine.run(x, record=[0, 1])
    for row in (0, 150, 299):
        one = engine.run(x[row : row + 1], record=[0, 1])
        for number in (0, 1):
            assert torch.equal(one.layers[number].u[0], whole.layers[number].u[row])
        assert torch.equal(one.spikes[0], whole.spikes[row])


def test_pain_15_versions_stand_in_every_record_and_lavas_absence_is_explained() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "neurorobust", "info", "--json"],
        capture_output=True, text=True, timeout=200, check=True,
    )  # fmt: skip
    said = json.loads(done.stdout)
    wanted = {"python", "torch", "numpy"}
    if importlib.util.find_spec("lava") is not None:
        wanted |= {"lava-nc", "lava-dl"}
    assert wanted <= set(said["versions"])
    assert said["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
