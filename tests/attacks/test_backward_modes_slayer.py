"""Every backward mode through SLAYER: the quantised network is the engine's, gradients too."""

import pytest
import torch

from neurorobust.attacks.modes import MODES
from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.slayer.backend import SlayerBackend
from neurorobust.errors import BadInput
from neurorobust.networks import NetworkSpec, build
from neurorobust.surrogates import BackwardMode
from neurorobust.types import Inputs

pytest.importorskip("lava.lib.dl", reason="lava-dl is not installed")
pytestmark = pytest.mark.lava

STEPS = 12
KINDS = {
    "mlp": {"kind": "mlp", "hidden": (16,), "encoder": "poisson"},
    "delayed": {"kind": "mlp", "hidden": (16,), "encoder": "poisson", "max_delay": 3},
    "cnn": {"kind": "cnn", "channels": (3,), "hidden": (), "encoder": "drive"},
    "recurrent": {"kind": "recurrent", "hidden": (12,), "encoder": "poisson"},
}


@pytest.fixture(scope="module")
def networks():
    made = {}
    for name, changes in KINDS.items():
        torch.manual_seed(0)
        base = {"input_shape": (2, 6, 5), "classes": 4, "steps": STEPS, "weight_scale": 4.0}
        made[name] = build(NetworkSpec(**{**base, **changes}))
    return made


def inputs_for(kind, seed):
    generator = torch.Generator().manual_seed(seed)
    if kind == "cnn":
        return torch.randint(-60, 250, (4, 2, 6, 5), generator=generator).float()
    return (torch.rand(4, 2, 6, 5, STEPS, generator=generator) < 0.3).float()


def gradient(backend, values, mode):
    leaf = values.clone().requires_grad_()
    run = backend.forward(Inputs.drive(leaf, STEPS) if leaf.dim() == 4 else leaf, mode)
    weights = torch.linspace(-1, 1, run.spikes[0].numel()).view_as(run.spikes[0])
    ((run.spikes * weights).sum() + run.membrane[:, 1].sum() / 1e4).backward()
    return leaf.grad


def of_means(mode):
    backward = mode.start().backward
    return isinstance(backward, BackwardMode) and (backward.averaged or backward.rate is not None)


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_engine_and_slayer_agree(networks, kind, name):
    """Two gradients in a row: what a mode remembers is the same, too."""
    slayer = SlayerBackend(networks[kind])
    engine = EngineBackend(slayer.model)
    ours, theirs = MODES[name].start(), MODES[name].start()
    for seed in (1, 2):
        ours.begin(0)
        theirs.begin(0)
        values = inputs_for(kind, seed)
        if kind == "recurrent" and of_means(MODES[name]):
            for backend in (engine, slayer):
                with pytest.raises(BadInput, match="a gradient of means has no adjoint through"):
                    gradient(backend, values, ours.backward)
            continue
        wanted = gradient(engine, values, ours.backward)
        mine = gradient(slayer, values, theirs.backward)
        assert (wanted != 0).float().mean() > 0.1
        assert (mine - wanted).abs().max() <= 1e-4 * wanted.abs().max()


@pytest.mark.parametrize("name", ["assg-0.425", "rga", "hart-1", "pdsg", "bptr"])
def test_the_float_network_takes_every_mode(networks, name):
    slayer = SlayerBackend(networks["mlp"], "float")
    mode = MODES[name].start()
    mode.begin(0)
    found = gradient(slayer, inputs_for("mlp", 1), mode.backward)
    assert torch.isfinite(found).all()
    assert (found != 0).float().mean() > 0.5


def test_what_a_hook_sees_is_the_engines_view(networks):
    slayer = SlayerBackend(networks["cnn"])
    views = []

    def scale(view):
        views.append((view, view.mean_input()))
        return torch.ones(1)

    for backend in (EngineBackend(slayer.model), slayer):
        gradient(backend, inputs_for("cnn", 1), BackwardMode(scale=scale))
    half = len(views) // 2
    assert half == 3
    for (ours, ours_mean), (theirs, theirs_mean) in zip(views[:half], views[half:], strict=True):
        assert ours.number == theirs.number
        assert ours.shape == theirs.shape
        assert torch.equal(ours.voltage, theirs.voltage)
        assert torch.equal(ours.spikes.float(), theirs.spikes)
        assert torch.equal(ours.theta, theirs.theta)
        assert torch.allclose(ours.kept, theirs.kept, atol=1e-7)
        assert torch.allclose(ours_mean, theirs_mean, rtol=1e-5, atol=1e-2)


def test_a_hook_that_does_not_fit_is_refused(networks):
    slayer = SlayerBackend(networks["cnn"])
    wrong = BackwardMode(scale=lambda view: torch.ones(7))
    with pytest.raises(BadInput, match=r"scale of layer 3 has shape \(7,\), does not broadcast"):
        gradient(slayer, inputs_for("cnn", 1), wrong)
