"""The engine's gradients against a float64 twin that torch differentiates."""

from __future__ import annotations

import importlib.metadata
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from neurorobust import surrogates
from neurorobust.backends.engine import EngineBackend, adjoint_cpu, loops, parts
from neurorobust.fixedpoint import cast_bias, pack_dense_weights
from neurorobust.netx import read
from neurorobust.netx.model import ACCUMULATOR, ConvLayer, DenseLayer, NetxModel, Neuron
from neurorobust.surrogates import Surrogate
from neurorobust.types import Drive, Inputs


def straight_through(exact: Tensor, smooth: Tensor) -> Tensor:
    """The value of `exact`, the gradient of `smooth`."""
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
        scale = ctx.surrogate.width * theta.clamp_min(64)
        return gradient * ctx.surrogate.derivative((v - theta) / scale) / scale, None, None


class Twin:
    """The network on float64 tensors `[batch, C, H, W, time]`, one step after the other."""

    def __init__(self, model: NetxModel, surrogate: Surrogate) -> None:
        self.model, self.surrogate = model, surrogate

    def __call__(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        if isinstance(inputs, Drive):
            layer, steps = self.model.input_layer, inputs.steps
            silence = torch.zeros((*inputs.bias_mant.shape, steps), dtype=torch.float64)
            signal, membrane = self.neurons(layer, silence, inputs.bias_mant)
        else:
            signal, membrane = inputs, torch.empty(0)
        for layer in self.model.spiking_layers:
            if layer is self.model.input_layer:
                continue
            if isinstance(layer, DenseLayer):
                sums = self.dense(layer, signal.flatten(1, 3))[:, :, None, None]
            else:
                sums = self.conv(layer, signal)
            bias = np.zeros(1) if layer.bias is None else cast_bias(layer.bias)
            signal, membrane = self.neurons(layer, sums, torch.tensor(bias).view(1, -1, 1, 1))
        return signal.flatten(1, 3), membrane.flatten(1)

    def dense(self, layer: DenseLayer, signal: Tensor) -> Tensor:
        packed = pack_dense_weights(layer.weight)
        delays = np.zeros_like(layer.weight) if layer.delay is None else layer.delay
        sums = torch.zeros((len(signal), len(packed.weights), signal.shape[-1])).double()
        for delay in np.unique(delays):
            weight = torch.tensor(np.where(delays == delay, packed.weights, 0)).double()
            late = torch.nn.functional.pad(signal, (int(delay), 0))[..., : signal.shape[-1]]
            smooth = torch.einsum("oi,bit->bot", weight, late) / 2**packed.shift
            sums = sums + straight_through(smooth.floor(), smooth)
        return sums

    def conv(self, layer: ConvLayer, signal: Tensor) -> Tensor:
        weight = torch.tensor(layer.weight).double()
        frames = [
            torch.nn.functional.conv2d(
                frame, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups
            )
            for frame in signal.unbind(-1)
        ]
        return torch.stack(frames, -1)

    def neurons(self, layer, sums: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        cell = layer.neuron or ACCUMULATOR
        kept_u, kept_v, theta = (
            torch.tensor(np.asarray(values).reshape(-1)).double().view(1, -1, 1, 1)
            for values in (
                (4096 - cell.current_decay) / 4096,
                (4096 - cell.voltage_decay) / 4096,
                cell.threshold * 64,
            )
        )
        u = v = torch.zeros(sums.shape[:-1], dtype=torch.float64)
        spikes = []
        for a in sums.unbind(-1):
            u = straight_through((u * kept_u).trunc(), u * kept_u) + 64 * a
            wrapped = torch.where(u > 2**23, u - 2**24, u)
            u = straight_through(torch.where(u <= -(2**23), u + 2**24, wrapped), u)
            v = straight_through((v * kept_v).trunc(), v * kept_v) + u + 64 * bias
            v = straight_through(v.clamp(1 - 2**23, 2**23 - 1), v)
            fired = Spike.apply(v, theta, self.surrogate)
            spikes.append(fired)
            membrane = torch.where(fired > 0, 0.0, v)
            v = straight_through(membrane, v)
        return torch.stack(spikes, -1), membrane


def leaf(inputs: Inputs, dtype: torch.dtype) -> tuple[Tensor, Inputs]:
    if isinstance(inputs, Drive):
        values = inputs.bias_mant.to(dtype).requires_grad_()
        return values, Drive(values, inputs.steps)
    values = inputs.to(dtype).requires_grad_()
    return values, values


def compare(model: NetxModel, inputs: Inputs, surrogate: Surrogate) -> Tensor:
    """Same numbers and same gradients of a random linear loss; returns the gradient."""
    mine, given_mine = leaf(inputs, torch.float32)
    theirs, given_theirs = leaf(inputs, torch.float64)
    run = EngineBackend(model).forward(given_mine, surrogate)
    spikes, membrane = Twin(model, surrogate)(given_theirs)
    assert torch.equal(run.spikes.double(), spikes.detach())
    assert torch.equal(run.membrane.double(), membrane.detach())
    generator = torch.Generator().manual_seed(1)
    to_spikes = torch.randn(spikes.shape, generator=generator, dtype=torch.float32)
    to_membrane = torch.randn(membrane.shape, generator=generator, dtype=torch.float32) / 1000
    ((run.spikes * to_spikes).sum() + (run.membrane * to_membrane).sum()).backward()
    ((spikes * to_spikes).sum() + (membrane * to_membrane).sum()).backward()
    assert mine.grad.dtype == torch.float32
    assert mine.grad.shape == mine.shape
    largest = theirs.grad.abs().max()
    assert (mine.grad - theirs.grad).abs().max() <= 1e-5 * largest
    return mine.grad


beliefs = st.builds(
    Surrogate, st.sampled_from(surrogates.SHAPES), st.sampled_from([0.1, 0.25, 1.0, 4.0])
)


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck])
@given(data=st.data())
def test_random_networks(tiny_networks, data):
    model, inputs = data.draw(tiny_networks)
    if isinstance(inputs, Drive) or model.spiking_layers[-1] is not model.input_layer:
        compare(model, inputs, data.draw(beliefs))


def layered() -> NetxModel:
    """Three dense layers; all of them spike, none always."""
    generator = np.random.default_rng(3)

    def dense(number, outgoing, incoming, threshold, odd):
        weight = generator.integers(-60, 90, (outgoing, incoming)) * 2 + odd
        cell = Neuron(np.array(1024), np.array(200), np.array(threshold))
        return DenseLayer(number, (outgoing, 1, 1), cell, weight)

    return NetxModel((20, 1, 1), (dense(0, 15, 20, 300, 0), dense(1, 10, 15, 300, 1)))


@pytest.mark.parametrize("shape", surrogates.SHAPES)
def test_every_shape_reaches_the_input(shape):
    spikes = torch.from_numpy(np.random.default_rng(4).integers(0, 2, (3, 20, 1, 1, 12)))
    gradient = compare(layered(), spikes.to(torch.uint8), Surrogate(shape, 1.0))
    assert (gradient != 0).float().mean() > 0.5


@pytest.mark.parametrize("delay", [None, np.array([[0, 1, 1], [2, 0, 1]])])
def test_a_shift_of_the_sum_counts_as_a_factor(delay):
    """[0, -1, -64] is summed as [0, -4, -254] and shifted by 2 (`test_engine_plan`)."""
    cell = Neuron(np.array(100), np.array(50), np.array(9))
    weight = np.array([[0, -1, -64], [-3, -2, -1]])
    layer = DenseLayer(0, (2, 1, 1), cell, weight, np.array([90, 20]), delay)
    spikes = torch.from_numpy(np.random.default_rng(4).integers(0, 2, (3, 3, 1, 1, 6)))
    gradient = compare(NetxModel((3, 1, 1), (layer,)), spikes.to(torch.uint8), Surrogate())
    assert (gradient != 0).any()


def test_every_shape_has_a_kernel():
    assert tuple(adjoint_cpu.SHAPE_CODES) == surrogates.SHAPES


def test_the_membrane_of_a_neuron_that_spiked_has_no_gradient():
    model = NetxModel(
        (1, 1, 1),
        (
            DenseLayer(
                0,
                (2, 1, 1),
                Neuron(np.array(0), np.array(0), np.array([10, 1000])),
                np.array([[100], [100]]),
            ),
        ),
    )
    x = torch.ones((1, 1, 1, 1, 1), requires_grad=True)
    run = EngineBackend(model).forward(x, Surrogate())
    assert run.membrane.tolist() == [[0.0, 6400.0]]
    (silent,) = torch.autograd.grad(run.membrane[0, 1], x, retain_graph=True)
    (fired,) = torch.autograd.grad(run.membrane[0, 0], x)
    assert silent.item() == 6400.0  # 64 a weight unit
    assert fired.item() == 0.0


def test_chunks_and_threads_agree(monkeypatch):
    spikes = torch.from_numpy(np.random.default_rng(4).integers(0, 2, (6, 20, 1, 1, 12)))
    whole = compare(layered(), spikes.to(torch.uint8), Surrogate())
    before = torch.get_num_threads()
    monkeypatch.setattr(loops, "WORTH_A_THREAD", 1)
    monkeypatch.setattr(parts, "PART_ENTRIES", 12 * 20 * 2)
    try:
        torch.set_num_threads(3)
        cut = compare(layered(), spikes.to(torch.uint8), Surrogate())
    finally:
        torch.set_num_threads(before)
    assert torch.allclose(cut, whole, rtol=1e-5, atol=1e-5 * float(whole.abs().max()))


def test_without_gradients_nothing_is_kept():
    spikes = torch.ones((2, 20, 1, 1, 5))
    run = EngineBackend(layered()).forward(spikes, Surrogate())
    assert not run.spikes.requires_grad
    with torch.no_grad():
        assert (
            not EngineBackend(layered())
            .forward(spikes.requires_grad_(), Surrogate())
            .membrane.requires_grad
        )


def published(name: str) -> Path:
    """A network in the lava-dl wheel."""
    try:
        found = importlib.metadata.distribution("lava-dl")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("lava-dl is not installed: no published network to try")
    return Path(str(found.locate_file(f"tests/lava/lib/dl/netx/{name}")))


def test_drive_into_the_published_mnist_network():
    model = read(published("mnist.net"))
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand((2, *model.input_shape), generator=generator)
    drive = Drive(torch.trunc(76 * (2 * pixels - 1) + 64).to(torch.int32), 16)
    gradient = compare(model, drive, Surrogate())
    assert math.isfinite(float(gradient.sum()))
    assert (gradient != 0).float().mean() > 0.5
