"""Recomputing what a change reaches gives what running the whole network gives, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from neurorobust import models
from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.engine.incremental.loops import empty, probe, refresh, settle
from neurorobust.backends.engine.incremental.network import build, obstacle
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.netx.model import ConvLayer, DenseLayer, NetxModel, Neuron, RecurrentLayer


def words(spikes: torch.Tensor) -> np.ndarray:
    """`[..., time]` -> uint64 `[inputs]`."""
    flat = spikes.reshape(-1, spikes.shape[-1]).numpy().astype(np.uint64)
    return (flat << np.arange(flat.shape[1], dtype=np.uint64)).sum(1, dtype=np.uint64)


def unpacked(packed: np.ndarray, shape: tuple[int, ...]) -> torch.Tensor:
    bits = (packed[:, None] >> np.arange(shape[-1], dtype=np.uint64)) & np.uint64(1)
    return torch.from_numpy(bits.astype(np.uint8)).reshape(1, *shape)


def check(model: NetxModel, backend, spikes: torch.Tensor, seed: int, changes: int = 8) -> None:
    """A walk of changes, half of them made: every answer is that of a whole run."""
    shape, steps = tuple(spikes.shape), spikes.shape[-1]
    rng = np.random.default_rng(seed)
    net = build(model, steps)
    sample, fresh = empty(net), empty(net)
    now = words(spikes)
    refresh(net, sample, now)
    for turn in range(changes):
        count = int(rng.integers(1, min(4, len(now)) + 1))
        places = rng.choice(len(now), count, replace=False).astype(np.int64)
        flipped = now[places] ^ (np.uint64(1) << rng.integers(0, steps, count).astype(np.uint64))
        after = now.copy()
        after[places] = flipped
        probe(net, sample, places, flipped, count)
        refresh(net, fresh, after)
        run = backend.run(unpacked(after, shape), record=[model.output_layer.number])
        trace = run.layers[model.output_layer.number]
        for then in (sample.then, fresh.now):
            assert then[0].tolist() == run.spikes[0].sum(-1).tolist()
            assert then[1].tolist() == trace.u[0].double().sum(-1).tolist()
            assert then[2].tolist() == run.membrane[0].tolist()
        assert np.array_equal(sample.then[3], fresh.now[3])
        settle(net, sample, turn % 2 == 0)
        if turn % 2 == 0:
            now = after
        assert not sample.extra.any()
        assert not sample.marked.any()
    refresh(net, fresh, now)
    for name in ("words", "sums", "past", "now"):
        assert np.array_equal(getattr(sample, name), getattr(fresh, name)), name


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_random_networks(tiny_networks, data):
    model, inputs = data.draw(tiny_networks)
    steps = inputs.steps
    assume(not obstacle(model, steps))
    seed = data.draw(st.integers(0, 2**32 - 1))
    generator = torch.Generator().manual_seed(seed)
    spikes = (torch.rand((*model.input_shape, steps), generator=generator) < 0.4).to(torch.uint8)
    check(model, ReferenceBackend(model), spikes, seed)


@pytest.mark.parametrize("name", ["digits-mlp", "mnist-cnn", "nmnist-cnn", "nmnist-delayed"])
def test_shipped_networks(name: str):
    network = models.resolve(name)
    shape = (*network.model.input_shape, network.card.steps)
    spikes = (torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.1).to(torch.uint8)
    check(network.model, EngineBackend(network.model), spikes, seed=2, changes=20)


def cell() -> Neuron:
    one = np.array([1000])
    return Neuron(current_decay=one, voltage_decay=one, threshold=one)


def dense(weight, **fields) -> NetxModel:
    weight = np.asarray(weight)
    layer = DenseLayer(number=0, shape=(len(weight), 1, 1), neuron=cell(), weight=weight, **fields)
    return NetxModel((weight.shape[1], 1, 1), (layer,))


def test_what_cannot_be_followed_is_named():
    plain = np.array([[64, -64], [30, 60]])
    assert obstacle(dense(plain), 16) == ""
    assert obstacle(dense(plain), 64) == ""
    assert obstacle(dense(plain), 65) == "65 steps, more than 64"
    back = RecurrentLayer(0, (2, 1, 1), cell(), plain, plain)
    assert "layer 0 (dense_rec): its spikes come back" in obstacle(
        NetxModel((2, 1, 1), (back,)), 16
    )
    kernel = np.full((1, 1, 2, 2), 254)
    conv = ConvLayer(0, (1, 3, 3), cell(), kernel)
    assert "outputs of shape (1, 3, 3)" in obstacle(NetxModel((1, 4, 4), (conv,)), 16)


def test_weights_that_lose_bits_are_shifted_as_lava_does():
    """Odd weights of a mixed matrix lose their last bit, and a shift of the sums drops more."""
    weight = np.array([[3, -5, 7], [1, 1, -1]])
    model = dense(weight)
    spikes = torch.ones((3, 1, 1, 9), dtype=torch.uint8)
    check(model, ReferenceBackend(model), spikes, seed=3)
