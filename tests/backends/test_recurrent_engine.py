"""The engine's recurrent layers: integers of the reference, gradients of a float64 twin."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurorobust import surrogates
from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.errors import BadInput
from neurorobust.fixedpoint import cast_bias, pack_dense_weights, pack_recurrent_weights
from neurorobust.netx.model import ACCUMULATOR, DenseLayer, NetxModel, Neuron, RecurrentLayer
from neurorobust.surrogates import BackwardMode, Surrogate
from neurorobust.types import Inputs


def numbers(model, inputs):
    return [layer.number for layer in model.running_layers(Inputs.of(inputs).driven)]


def assert_engine_equals_reference(model, inputs):
    record = numbers(model, inputs)
    run, expected = (b(model).run(inputs, record) for b in (EngineBackend, ReferenceBackend))
    assert run.spikes.equal(expected.spikes)
    assert run.membrane.equal(expected.membrane)
    for number in record:
        for name in ("spikes", "u", "v"):
            got, wanted = (getattr(r.layers[number], name) for r in (run, expected))
            assert got.dtype == wanted.dtype
            assert got.equal(wanted), f"layer {number}: {name} {got} instead of {wanted}"
    return expected


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck])
@given(data=st.data())
def test_random_networks_equal_the_reference(recurrent_networks, data):
    model, inputs = data.draw(recurrent_networks)
    assert_engine_equals_reference(model, inputs)


def network(seed=0, hidden=50, threshold=90, steps=12, batch=5):
    """Dense, recurrent, recurrent, with biases; busy but not full."""
    rng = np.random.default_rng(seed)

    def neuron():
        return Neuron(*(np.array([n]) for n in (1500, 400, threshold)))

    def weights(*shape):
        return rng.integers(-30, 36, shape)

    layers = (
        DenseLayer(0, (hidden, 1, 1), neuron(), weights(hidden, 20), rng.integers(-9, 9, hidden)),
        RecurrentLayer(
            1, (hidden, 1, 1), neuron(), weights(hidden, hidden), weights(hidden, hidden)
        ),
        RecurrentLayer(2, (7, 1, 1), neuron(), weights(7, hidden), weights(7, 7), np.arange(7)),
    )
    generator = torch.Generator().manual_seed(seed)
    events = (torch.rand(batch, 20, 1, 1, steps, generator=generator) < 0.3).to(torch.uint8)
    return NetxModel((20, 1, 1), layers), events


def test_a_busy_network_equals_the_reference_whatever_the_batch_and_the_threads():
    model, events = network(batch=40)
    expected = assert_engine_equals_reference(model, events)
    assert all(0.05 < trace.spikes.float().mean() < 0.95 for trace in expected.layers.values())
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for size in (1, 7, 40):
                parts = [EngineBackend(model).run(part) for part in events.split(size)]
                assert torch.cat([part.membrane for part in parts]).equal(expected.membrane)
    finally:
        torch.set_num_threads(before)


def test_currents_beyond_24_bits_equal_the_reference():
    """Maximal weights, all spikes, nothing forgotten: u wraps and stays outside 24 bits."""
    rng = np.random.default_rng(0)
    cell = Neuron(np.array([0]), np.array([0]), np.array([5]))
    share = np.linspace(0, 1, 300)[:, None]
    weight = np.where(rng.random((300, 1100)) < share, 254, -256)
    back = np.where(rng.random((300, 300)) < 0.6, 254, -256)
    model = NetxModel((1100, 1, 1), (RecurrentLayer(0, (300, 1, 1), cell, weight, back),))
    events = torch.ones(1, 1100, 1, 1, 9, dtype=torch.uint8)
    expected = assert_engine_equals_reference(model, events)
    assert expected.layers[0].u.max() > 1 << 23
    assert 0 < expected.spikes.float().mean() < 1


def straight_through(exact, smooth):
    return smooth + (exact - smooth).detach()


class Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, v, theta, surrogate):
        ctx.save_for_backward(v, theta)
        ctx.surrogate = surrogate
        return (v > theta).to(v.dtype)

    @staticmethod
    def backward(ctx, gradient):
        v, theta = ctx.saved_tensors
        width = ctx.surrogate.width * theta.clamp_min(64)
        return gradient * ctx.surrogate.derivative((v - theta) / width) / width, None, None


def twin(model, events, surrogate):
    """The same network on float64 `[batch, inputs, time]`, which torch differentiates."""
    signal = events.flatten(1, 3)
    for layer in model.layers:
        cell = layer.neuron or ACCUMULATOR
        kept_u, kept_v = (
            torch.tensor((4096 - np.asarray(decay).reshape(-1)) / 4096)
            for decay in (cell.current_decay, cell.voltage_decay)
        )
        theta = torch.tensor(np.asarray(cell.threshold).reshape(-1) * 64).double()
        bias = torch.tensor(np.zeros(1) if layer.bias is None else cast_bias(layer.bias)).double()
        if isinstance(layer, RecurrentLayer):
            packed, back = pack_recurrent_weights(layer.weight, layer.weight_rec)
        else:
            packed, back = pack_dense_weights(layer.weight), None
        u = v = spike = torch.zeros(len(signal), len(layer.weight), dtype=torch.float64)
        spikes = []
        for frame in signal.unbind(-1):
            a = frame @ torch.tensor(packed.weights).double().t() / 2**packed.shift
            a = straight_through(a.floor(), a)
            if back is not None:
                more = spike @ torch.tensor(back.weights).double().t() / 2**back.shift
                a = a + straight_through(more.floor(), more)
            u = straight_through((u * kept_u).trunc(), u * kept_u) + 64 * a
            v = straight_through((v * kept_v).trunc(), v * kept_v) + u + 64 * bias
            v = straight_through(v.clamp(1 - 2**23, 2**23 - 1), v)
            spike = Spike.apply(v, theta, surrogate)
            membrane = torch.where(spike > 0, 0.0, v)
            v = straight_through(membrane, v)
            spikes.append(spike)
        signal = torch.stack(spikes, -1)
    return signal, membrane


def gradients(model, events, mode, surrogate, precision="float32"):
    mine, theirs = events.float().requires_grad_(), events.double().requires_grad_()
    run = EngineBackend(model, gradient=precision).forward(mine, mode)
    spikes, membrane = twin(model, theirs, surrogate)
    assert torch.equal(run.spikes.double(), spikes.detach())
    assert torch.equal(run.membrane.double(), membrane.detach())
    generator = torch.Generator().manual_seed(1)
    to_spikes = torch.randn(spikes.shape, generator=generator)
    to_membrane = torch.randn(membrane.shape, generator=generator) / 1000
    for s, m in ((run.spikes, run.membrane), (spikes, membrane)):
        ((s * to_spikes).sum() + (m * to_membrane).sum()).backward()
    return mine.grad, theirs.grad


@pytest.mark.parametrize("shape", surrogates.SHAPES)
@pytest.mark.parametrize("width", [0.25, 1.0])
def test_gradients_through_the_recurrence_equal_the_twin(shape, width):
    surrogate = Surrogate(shape, width)
    mine, theirs = gradients(*network(steps=9, hidden=24), surrogate, surrogate)
    assert theirs.abs().max() > 0
    assert (mine - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def test_bfloat16_gradients_point_the_same_way():
    surrogate = Surrogate()
    mine, theirs = gradients(*network(steps=9, hidden=24), surrogate, surrogate, "bfloat16")
    cosine = torch.nn.functional.cosine_similarity(mine.double().flatten(), theirs.flatten(), 0)
    assert cosine >= 0.9999


def test_the_recurrence_is_part_of_the_gradient():
    """With the recurrent weights gone the same spikes would have another gradient."""
    layer = RecurrentLayer(
        0,
        (1, 1, 1),
        Neuron(np.array([4096]), np.array([4096]), np.array([10])),
        np.array([[12]]),
        np.array([[20]]),
    )
    model = NetxModel((1, 1, 1), (layer,))
    events = torch.tensor([1.0, 0, 0]).view(1, 1, 1, 1, 3).requires_grad_()
    run = EngineBackend(model).forward(events, Surrogate("straight-through", 1.0))
    assert run.spikes.flatten().tolist() == [1, 1, 1]
    run.spikes[0, 0, 2].backward()
    # ds/dv = 1 / 640 three times; 12 enters once, 20 comes back twice
    assert events.grad.flatten().tolist() == pytest.approx([1.2 * 2 * 2, 1.2 * 2, 1.2])


def test_a_scale_of_ones_changes_nothing_and_the_rate_hook_is_refused():
    model, events = network(steps=6, hidden=16)
    plain, _ = gradients(model, events, Surrogate(), Surrogate())
    seen = {}

    def scale(view):
        seen[view.number] = view.mean_input()
        return torch.ones(view.voltage.shape)

    scaled, _ = gradients(model, events, BackwardMode(Surrogate(), scale=scale), Surrogate())
    assert torch.equal(plain, scaled)
    # without leak of u, what a step adds to u and v is the rest of the definition
    run = ReferenceBackend(model).run(events, [0, 1])
    kept = (4096 - 1500) / 4096
    u = run.layers[1].u.double()
    added = u[..., 0] + (u[..., 1:] - (u[..., :-1] * kept).trunc()).sum(-1)
    assert torch.allclose(seen[1].double(), added / 6)
    mode = BackwardMode(Surrogate(), rate=lambda view: torch.ones(view.voltage[:, 0].shape))
    run = EngineBackend(model).forward(events.float().requires_grad_(), mode)
    with pytest.raises(BadInput, match=r"a gradient of means has no adjoint through layer 2 "):
        run.spikes.sum().backward()
