"""Every kind of SLAYER network that is exported, in four forms: the same integers everywhere."""

import pytest
import torch

from neurorobust import netx
from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.lava.backend import LavaBackend
from neurorobust.backends.parity import parity
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.backends.slayer.backend import SlayerBackend
from neurorobust.networks import adopt
from neurorobust.surrogates import DEFAULT

pytest.importorskip("lava.lib.dl", reason="lava-dl is not installed")
pytestmark = pytest.mark.lava

TOGETHER = ("everything-driven", "everything-spiking")
NAMES = (
    *TOGETHER,
    *("dense", "features", "conv", "grouped", "recurrent", "recurrent-norm", "delays"),
    *("affine-sum", "affine-dynamics", "affine-norm", "mean-only", "wgt-scale-up"),
    *("wgt-scale-down", "weight-norm", "pool-sum", "pool-average", "dropout"),
    *("decays-a-channel", "mask", "shifted", "stock-input", "own-input", "own-declaration"),
)
READOUTS = (*TOGETHER, "affine-sum", "affine-dynamics", "affine-norm")


def prepared(cases, name, seed=0):
    torch.manual_seed(seed)
    case = cases[name]()
    return SlayerBackend(adopt(case.module, case.shape, case.samples)), case


def test_the_matrix_is_all_there_is(cases):
    assert set(cases) == {*NAMES, "wgt-scale-up-leaky", "wgt-scale-down-leaky"}  # see test_pains


@pytest.mark.parametrize("name", NAMES)
def test_slayer_reference_and_engine_are_identical(cases, name):
    slayer, case = prepared(cases, name)
    inputs = case.inputs()
    numbers = [layer.number for layer in slayer.model.spiking_layers]
    numbers = [n for n in numbers if n or case.driven]
    traces = slayer.run(inputs, numbers).layers
    busy = [float(trace.spikes.float().mean()) for trace in traces.values()]
    silent = busy[:-1] if name in READOUTS else busy
    assert all(0 < rate < 1 for rate in silent), busy
    assert slayer.variables == ("spikes", "u", "v")
    for other in (ReferenceBackend(slayer.model), EngineBackend(slayer.model)):
        result = parity(slayer, other, inputs, variables=slayer.variables)
        assert result.identical, result.first_difference
        assert list(result.layers) == numbers
        if name in READOUTS:
            assert torch.equal(slayer.run(inputs).membrane, other.run(inputs).membrane)


@pytest.mark.parametrize(
    "name",
    [name if name in TOGETHER else pytest.param(name, marks=pytest.mark.slow) for name in NAMES],
)
def test_lava_is_identical(cases, name, tmp_path):
    """Two networks that hold everything between them; each of the others alone is slow."""
    slayer, case = prepared(cases, name)
    model = netx.write(slayer.model, tmp_path / "model.net")
    with LavaBackend(model, timeout=120) as lava:
        result = parity(slayer, lava, case.inputs(batch=2), variables=slayer.variables)
    assert result.identical, result.first_difference


@pytest.mark.parametrize("name", ["mean-only", "wgt-scale-up", "affine-norm", "pool-sum", "delays"])
def test_gradients_of_slayers_integers_are_the_engines(cases, name):
    """The same surrogate, linear leaks and reset by the same rules: folding changes none of it."""
    slayer, case = prepared(cases, name)
    found = []
    for backend in (slayer, EngineBackend(slayer.model)):
        x = case.inputs().values.float().requires_grad_()
        run = backend.forward(x, DEFAULT)
        (run.spikes[:, 0].sum() + run.membrane[:, 1].sum() / 1e3).backward()
        found.append(x.grad)
    assert found[0].abs().max() > 0
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_float_network_runs_and_is_close(cases, name):
    torch.manual_seed(0)
    case = cases[name]()
    network = adopt(case.module, case.shape, case.samples)
    rounded, unrounded = (SlayerBackend(network, p) for p in ("quantised", "float"))
    numbers = [n for n in rounded._neurons if n or case.driven]
    one, other = (backend.run(case.inputs(), numbers).layers for backend in (rounded, unrounded))
    first = numbers[0]
    flips = (one[first].spikes != other[first].spikes).float().mean()
    assert flips < 0.1
    assert one[first].u.dtype == torch.int32
    assert other[first].u.dtype == torch.float32
