"""The engine's gradients against a float64 twin that torch differentiates."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from neurorobust import surrogates
from neurorobust.backends.engine import (
    EngineBackend,
    autograd,
    batch_parts,
    event_gradient,
    loops,
)
from neurorobust.backends.engine.autograd import LayerPass
from neurorobust.backends.engine.plan import make_plan
from neurorobust.backends.engine.shapes import KERNELS
from neurorobust.backends.engine.trainable import TrainableEngine
from neurorobust.backends.threads import threads
from neurorobust.errors import BadInput, ModelFileError
from neurorobust.fixedpoint import (
    PackedWeights,
    cast_bias,
    pack_dense_weights,
    pack_recurrent_weights,
)
from neurorobust.netx import read
from neurorobust.netx.model import (
    ACCUMULATOR,
    ConvLayer,
    DenseLayer,
    NetxModel,
    Neuron,
    RecurrentLayer,
)
from neurorobust.surrogates import DEFAULT, Backward, BackwardMode, LayerView, Surrogate, fired
from neurorobust.types import Inputs


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
    """The network on float64 tensors `[batch, C, H, W, time]`, one step after the other.

    `leaves` are what the file holds, by layer and name: what is trained.
    """

    def __init__(self, model: NetxModel, surrogate: Surrogate) -> None:
        self.model, self.surrogate = model, surrogate
        self.leaves = {}
        for layer in model.layers:
            for name in ("weight", "weight_rec", "bias"):
                values = getattr(layer, name, None)
                if isinstance(values, np.ndarray):
                    leaf = torch.tensor(values).double().requires_grad_()
                    self.leaves[layer.number, name] = leaf

    def __call__(self, inputs: Inputs | Tensor) -> tuple[Tensor, Tensor]:
        inputs = Inputs.of(inputs)
        if inputs.driven:
            layer, steps = self.model.input_layer, inputs.steps
            silence = torch.zeros((*inputs.values.shape, steps), dtype=torch.float64)
            signal, membrane = self.neurons(layer, silence, inputs.values)
        else:
            signal, membrane = inputs.values, torch.empty(0)
        for layer in self.model.spiking_layers:
            if layer is self.model.input_layer:
                continue
            feedback = None
            if isinstance(layer, DenseLayer):
                packed = pack_dense_weights(layer.weight)
                sums = self.dense(layer, packed, signal.flatten(1, 3))[:, :, None, None]
            elif isinstance(layer, RecurrentLayer):
                packed, back = pack_recurrent_weights(layer.weight, layer.weight_rec)
                sums = self.dense(layer, packed, signal.flatten(1, 3))[:, :, None, None]
                feedback = functools.partial(self.back, layer, back)
            else:
                sums = self.conv(layer, signal)
            bias = torch.zeros(1)
            if layer.bias is not None:
                exact = torch.tensor(cast_bias(layer.bias)).double()
                bias = straight_through(exact, self.leaves[layer.number, "bias"])
            signal, membrane = self.neurons(layer, sums, bias.view(1, -1, 1, 1), feedback)
        return signal.flatten(1, 3), membrane.flatten(1)

    def back(self, layer: RecurrentLayer, packed: PackedWeights, spikes: Tensor) -> Tensor:
        """What one step's spikes `[batch, C, 1, 1]` add to the sums of the next."""
        weight = self.scaled(self.leaves[layer.number, "weight_rec"], packed)
        smooth = spikes.flatten(1) @ weight.t() / 2**packed.shift
        return straight_through(smooth.floor(), smooth)[:, :, None, None]

    def scaled(self, leaf: Tensor, packed: PackedWeights) -> Tensor:
        """Lava's weights, with the derivative 2^shift of the file's."""
        return straight_through(torch.tensor(packed.weights).double(), leaf * 2**packed.shift)

    def dense(self, layer, packed: PackedWeights, signal: Tensor) -> Tensor:
        given = getattr(layer, "delay", None)
        delays = np.zeros_like(layer.weight) if given is None else given
        every = self.scaled(self.leaves[layer.number, "weight"], packed)
        sums = torch.zeros((len(signal), len(packed.weights), signal.shape[-1])).double()
        for delay in np.unique(delays):
            weight = every * torch.tensor(delays == delay)
            late = torch.nn.functional.pad(signal, (int(delay), 0))[..., : signal.shape[-1]]
            smooth = torch.einsum("oi,bit->bot", weight, late) / 2**packed.shift
            sums = sums + straight_through(smooth.floor(), smooth)
        return sums

    def conv(self, layer: ConvLayer, signal: Tensor) -> Tensor:
        weight = self.leaves[layer.number, "weight"]
        frames = [
            torch.nn.functional.conv2d(
                frame, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups
            )
            for frame in signal.unbind(-1)
        ]
        return torch.stack(frames, -1)

    def neurons(
        self, layer, sums: Tensor, bias: Tensor, feedback: Callable[[Tensor], Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
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
            if feedback is not None and spikes:
                a = a + feedback(spikes[-1])
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


def leaf(inputs: Inputs | Tensor, dtype: torch.dtype) -> tuple[Tensor, Inputs]:
    inputs = Inputs.of(inputs)
    values = inputs.values.to(dtype).requires_grad_()
    return values, inputs.with_values(values)


def loss(spikes: Tensor, membrane: Tensor) -> Tensor:
    """A random linear one."""
    generator = torch.Generator().manual_seed(1)
    to_spikes = torch.randn(spikes.shape, generator=generator, dtype=torch.float32)
    to_membrane = torch.randn(membrane.shape, generator=generator, dtype=torch.float32) / 1000
    return (spikes * to_spikes).sum() + (membrane * to_membrane).sum()


def gradient_of(
    model: NetxModel, inputs: Inputs | Tensor, mode: Backward, precision="float32"
) -> Tensor:
    mine, given_mine = leaf(inputs, torch.float32)
    run = EngineBackend(model, gradient=precision).forward(given_mine, mode)
    loss(run.spikes, run.membrane).backward()
    return mine.grad


def assert_close(mine: Tensor, theirs: Tensor) -> None:
    assert mine.dtype == torch.float32
    assert mine.shape == theirs.shape
    tolerance = 1e-5 * theirs.abs().max()  # float32 has nothing below its smallest number
    assert (mine - theirs).abs().max() <= tolerance.clamp_min(torch.finfo(torch.float32).tiny)


def compare(model: NetxModel, inputs: Inputs | Tensor, surrogate: Surrogate) -> Tensor:
    """Same numbers and same gradients; returns the gradient."""
    mine, given_mine = leaf(inputs, torch.float32)
    theirs, given_theirs = leaf(inputs, torch.float64)
    run = EngineBackend(model).forward(given_mine, surrogate)
    spikes, membrane = Twin(model, surrogate)(given_theirs)
    assert torch.equal(run.spikes.double(), spikes.detach())
    assert torch.equal(run.membrane.double(), membrane.detach())
    loss(run.spikes, run.membrane).backward()
    loss(spikes, membrane).backward()
    assert_close(mine.grad, theirs.grad)
    return mine.grad


def compare_trained(model: NetxModel, inputs: Inputs | Tensor, surrogate: Surrogate) -> None:
    """Same numbers and same gradients of everything that is trained."""
    engine = TrainableEngine(model, surrogate)
    assert list(engine.parameters())
    twin = Twin(engine.trained(), surrogate)
    run = engine(inputs)
    spikes, membrane = twin(leaf(inputs, torch.float64)[1])
    assert torch.equal(run.spikes.double(), spikes.detach())
    assert torch.equal(run.membrane.double(), membrane.detach())
    loss(run.spikes, run.membrane).backward()
    loss(spikes, membrane).backward()
    for group, name in (("weights", "weight"), ("biases", "bias"), ("feedback", "weight_rec")):
        for number, master in getattr(engine, group).items():
            theirs = twin.leaves[int(number), name]
            # one step of a recurrent layer sees no feedback
            wanted = torch.zeros_like(theirs) if theirs.grad is None else theirs.grad
            assert_close(master.grad, wanted)


beliefs = st.builds(
    Surrogate, st.sampled_from(sorted(surrogates.SHAPES)), st.sampled_from([0.1, 0.25, 1.0, 4.0])
)


@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck])
@given(data=st.data())
def test_random_networks(tiny_networks, data):
    model, inputs = data.draw(tiny_networks)
    if inputs.driven or model.spiking_layers[-1] is not model.input_layer:
        compare(model, inputs, data.draw(beliefs))


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck])
@given(data=st.data())
def test_random_recurrent_networks(recurrent_networks, data):
    model, inputs = data.draw(recurrent_networks)
    compare(model, inputs, data.draw(beliefs))


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck])
@given(data=st.data())
def test_weights_of_random_networks(tiny_networks, recurrent_networks, data):
    model, inputs = data.draw(st.one_of(tiny_networks, recurrent_networks))
    try:
        assume(any(layer is not model.input_layer for layer in model.spiking_layers))
        compare_trained(model, inputs, data.draw(beliefs))
    except ModelFileError as error:  # rounded to even, a matrix can be all zero
        assert "all zero" in str(error)  # noqa: PT017


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


def test_every_shape_of_ours_has_a_kernel():
    assert set(KERNELS) == set(surrogates.SHAPES)
    assert len(set(KERNELS.values())) == len(KERNELS)


@pytest.mark.parametrize("shape", surrogates.SHAPES)
def test_a_shape_without_a_kernel_has_the_same_gradient(shape: str, monkeypatch):
    """Registered from outside, it goes through a hook."""
    monkeypatch.setitem(surrogates.SHAPES, "own", surrogates.SHAPES[shape])
    rng = np.random.default_rng(8)
    cell = Neuron(np.array(900), np.array(300), np.array(7))
    layers = tuple(
        DenseLayer(number, (5, 1, 1), cell, rng.integers(-9, 12, (5, inputs)))
        for number, inputs in ((0, 6), (1, 5))
    )
    engine = EngineBackend(NetxModel((6, 1, 1), layers))
    spikes = torch.from_numpy(rng.integers(0, 2, (4, 6, 1, 1, 9))).to(torch.float32)
    found = []
    for name in (shape, "own"):
        x = spikes.clone().requires_grad_()
        run = engine.forward(x, Surrogate(name, 0.5))
        (run.spikes.sum() + 1e-3 * run.membrane.sum()).backward()
        found.append(x.grad)
    assert bool((found[0] != 0).any())
    torch.testing.assert_close(
        found[1], found[0], rtol=1e-5, atol=1e-6 * float(found[0].abs().max())
    )


def test_an_unknown_shape_is_refused():
    with pytest.raises(BadInput, match="surrogate: shape 'own' unknown, known: fast-sigmoid"):
        Surrogate("own", 0.5)


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


def some_spikes(batch: int = 6, inputs: int = 20, density: float = 0.5) -> Tensor:
    drawn = np.random.default_rng(4).random((batch, inputs, 1, 1, 12)) < density
    return torch.from_numpy(drawn.astype(np.uint8))


@pytest.fixture
def small_parts(monkeypatch):
    """Every sample of `layered` is a part of its own."""
    monkeypatch.setattr(loops, "WORTH_A_THREAD", 1)
    monkeypatch.setattr(batch_parts, "PART_ENTRIES", 12 * 20)
    assert len(batch_parts.cut(6, 12 * 20)) == 6


def test_parts_agree_with_the_whole(small_parts):
    cut = compare(layered(), some_spikes(), Surrogate())
    with pytest.MonkeyPatch().context() as patch:
        patch.setattr(batch_parts, "PART_ENTRIES", 1 << 30)
        whole = compare(layered(), some_spikes(), Surrogate())
    assert torch.allclose(cut, whole, rtol=1e-5, atol=1e-5 * float(whole.abs().max()))


@pytest.mark.parametrize("kept", [0, 2 * 12 * (20 + 15 + 10) * 5, 1 << 30])
def test_gradients_are_the_same_on_any_number_of_threads_and_memory(
    small_parts, monkeypatch, torch_threads, kept
):
    def gradients() -> list[Tensor]:
        engine = TrainableEngine(layered())
        x = some_spikes().float().requires_grad_()
        run = engine(x)
        loss(run.spikes, run.membrane).backward()
        return [x.grad, *(parameter.grad for parameter in engine.parameters())]

    wanted = gradients()
    monkeypatch.setattr(autograd, "KEPT_BYTES", kept)
    for count in (1, 2, 3):
        torch_threads(count)
        for mine, theirs in zip(gradients(), wanted, strict=True):
            assert torch.equal(mine, theirs)
    torch_threads(1)
    with threads(2):
        assert torch.equal(gradients()[0], wanted[0])
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("batch", [1, 2, 7, 64, 1000])
@pytest.mark.parametrize("entries", [1, 12544, 1 << 22])
def test_a_batch_is_cut_without_gap_or_overlap(batch, entries):
    cuts = batch_parts.cut(batch, entries)
    assert [n for cut in cuts for n in range(cut.start, cut.stop)] == list(range(batch))
    sizes = {cut.stop - cut.start for cut in cuts}
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) * entries <= batch_parts.PART_ENTRIES or max(sizes) == 1


def test_bfloat16_points_the_same_way(wide):
    spikes = some_spikes(8, 784, 0.1)

    def gradients(precision: str) -> list[Tensor]:
        engine = TrainableEngine(wide, gradient=precision)
        x = spikes.float().requires_grad_()
        engine(x).spikes.mean(-1).square().sum().backward()
        return [x.grad, *(parameter.grad for parameter in engine.parameters())]

    pairs = list(zip(gradients("bfloat16"), gradients("float32"), strict=True))
    assert len(pairs) == 7
    for rough, fine in pairs:
        assert fine.abs().max() > 0
        assert not torch.equal(rough, fine) or rough.numel() == 10  # the last bias sees no product
        cosine = torch.nn.functional.cosine_similarity(rough.flatten(), fine.flatten(), dim=0)
        assert cosine >= 0.9999
    fine = gradient_of(wide, spikes, Surrogate())
    rough = gradient_of(wide, spikes, Surrogate(), "bfloat16")
    assert torch.nn.functional.cosine_similarity(rough.flatten(), fine.flatten(), dim=0) >= 0.9999


@pytest.mark.parametrize("density", [0.0, 0.01, 0.15, 0.3, 1.0])
@pytest.mark.parametrize("outputs", [1, 255, 300])
def test_gathered_gradients_are_the_products(density, outputs):
    generator = torch.Generator().manual_seed(0)
    sums = torch.randn((130, outputs), generator=generator)
    spikes = (torch.rand((130, 21), generator=generator) < density).to(torch.uint8)
    found = event_gradient.gathered(sums, spikes)
    assert_close(found, sums.double().t() @ spikes.double())
    wide = outputs >= event_gradient.WORTH_OUTPUTS
    assert event_gradient.gathers(sums, spikes, "float32") == (wide and density < 0.4)
    assert event_gradient.gathers(sums, spikes, "bfloat16") == (wide and density < 0.2)
    assert not event_gradient.gathers(sums, spikes.float(), "float32")


def test_an_unknown_precision_is_refused():
    with pytest.raises(BadInput, match="gradient: 'half' unknown, known: float32, bfloat16"):
        EngineBackend(layered(), gradient="half")
    with pytest.raises(BadInput, match="gradient: 'half' unknown"):
        TrainableEngine(layered(), gradient="half")


def test_a_scale_can_be_any_derivative():
    """Straight-through of width 1 times the shape of a surrogate is that surrogate."""
    wanted = Surrogate("atan", 0.5)
    scaled = BackwardMode(
        Surrogate("straight-through", 1.0),
        scale=lambda view: wanted.derivative(view.distance() / 0.5) / 0.5,
    )
    mine = gradient_of(layered(), some_spikes(), scaled)
    assert_close(mine, gradient_of(layered(), some_spikes(), wanted).double())


def test_a_scale_per_layer_and_step(small_parts):
    """Switching the first layer's last steps off is the same as cutting its gradient there."""
    places = []

    def scale(view: LayerView) -> Tensor:
        places.append((view.number, view.first))
        factor = torch.ones(view.voltage.shape[1])
        if view.number == 0:
            factor[4:] = 0
        return factor[:, None]

    gradient = gradient_of(layered(), some_spikes(), BackwardMode(scale=scale))
    assert (gradient[..., 4:] == 0).all()
    assert (gradient[..., :4] != 0).any()
    assert sorted(places) == [(layer, first) for layer in (0, 1) for first in range(6)]


def test_bptr_masks_neurons_that_never_spiked():
    straight = Surrogate("straight-through", 1.0)
    model = layered()
    quiet = dataclasses.replace(model.layers[0], bias=np.where(np.arange(15) < 5, -4000, 0))
    model = dataclasses.replace(model, layers=(quiet, model.layers[1]))
    run = EngineBackend(model).run(some_spikes(), record=[0, 1])
    silent = [trace.spikes.amax(-1) == 0 for trace in run.layers.values()]
    assert silent[0][:, :5].all()
    assert not silent[0][:, 5:].all()

    def by_hand(view: LayerView) -> Tensor:
        return (~silent[view.number]).float()[:, None]

    bptr = gradient_of(model, some_spikes(), BackwardMode(straight, scale=fired))
    assert torch.equal(
        bptr, gradient_of(model, some_spikes(), BackwardMode(straight, scale=by_hand))
    )
    assert not torch.equal(bptr, gradient_of(model, some_spikes(), straight))


def rate_of(view: LayerView) -> Tensor:
    """A smooth rate's derivative: a hook that looks at the mean input alone."""
    theta = view.theta.clamp_min(64)
    return torch.sigmoid(view.mean_input() / theta) / theta


@pytest.mark.parametrize("trained", [False, True])
def test_a_rate_has_an_adjoint_of_its_own(trained, small_parts):
    """Against float64: means of spikes go through weights and the rate's derivative alone."""
    model, spikes = layered(), some_spikes()
    if trained:
        engine = TrainableEngine(model, BackwardMode(rate=rate_of))
        model = engine.trained()
    runs = EngineBackend(model).run(spikes, record=[0, 1]).layers
    x = spikes.double().requires_grad_()
    seen = [x[:, :, 0, 0], runs[0].spikes.double().requires_grad_()]
    rates, weights = [], []
    for layer, source in zip(model.layers, seen, strict=True):
        weight = torch.tensor(layer.weight).double().requires_grad_()
        mean = 64 * source.mean(-1) @ weight.t()
        theta = float(layer.neuron.threshold) * 64
        slope = torch.sigmoid(mean.detach() / theta) / theta
        rates.append(slope * mean)
        weights.append(weight)
    steps = spikes.shape[-1]
    to_spikes = torch.randn(runs[1].spikes.shape, generator=torch.Generator().manual_seed(1))
    rates[1].backward(to_spikes.double().sum(-1))
    rates[0].backward(seen[1].grad.sum(-1))
    if trained:
        run = engine(spikes)
        (run.spikes * to_spikes).sum().backward()
        for mine, theirs in zip(engine.weights.values(), weights, strict=True):
            assert_close(mine.grad, theirs.grad)
        return
    given, _ = leaf(spikes, torch.float32)
    run = EngineBackend(model).forward(given, BackwardMode(rate=rate_of))
    (run.spikes * to_spikes).sum().backward()
    assert_close(given.grad, x.grad)
    assert (given.grad == given.grad[..., :1]).all()
    assert steps > 1


def test_a_rate_reaches_drive_and_the_membrane():
    model = read(published("mnist.net"))
    drive = Inputs.drive(torch.full((2, *model.input_shape), 60, dtype=torch.int32), 16)
    mine, inputs = leaf(drive, torch.float32)
    EngineBackend(model).forward(inputs, BackwardMode(rate=rate_of)).membrane.sum().backward()
    assert torch.isfinite(mine.grad).all()
    assert (mine.grad != 0).any()


def test_a_mode_that_needs_the_whole_batch_gets_it(small_parts):
    seen = []

    def scale(view: LayerView) -> Tensor:
        seen.append(len(view.voltage))
        return torch.ones(1)

    gradient_of(layered(), some_spikes(), BackwardMode(scale=scale, whole_batch=True))
    assert seen == [6, 6]


def test_hooks_that_do_not_fit_are_refused():
    with pytest.raises(BadInput, match="scale and rate given"):
        BackwardMode(scale=fired, rate=rate_of)
    wrong = BackwardMode(scale=lambda view: torch.ones(3))
    with pytest.raises(BadInput, match=r"scale of layer 1 has shape \(3,\), does not broadcast"):
        gradient_of(layered(), some_spikes(), wrong)
    looped = RecurrentLayer(
        0,
        (2, 1, 1),
        Neuron(np.array(0), np.array(0), np.array(9)),
        *[np.array([[2, 4], [6, 8]])] * 2,
    )
    with pytest.raises(BadInput, match=r"a gradient of means has no adjoint through layer 0"):
        gradient_of(NetxModel((2, 1, 1), (looped,)), some_spikes(1, 2), BackwardMode(rate=rate_of))


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
    drive = Inputs.drive(torch.trunc(76 * (2 * pixels - 1) + 64).to(torch.int32), 16)
    gradient = compare(model, drive, Surrogate())
    assert math.isfinite(float(gradient.sum()))
    assert (gradient != 0).float().mean() > 0.5


def test_no_samples_have_no_gradients():
    x = torch.zeros(0, 20, 1, 1, 7, requires_grad=True)
    run = EngineBackend(layered()).forward(x, Surrogate())
    classes = layered().outputs
    assert (run.spikes.shape, run.membrane.shape) == ((0, classes, 7), (0, classes))
    (found,) = torch.autograd.grad(run.spikes.sum() + run.membrane.sum(), x)
    assert found.shape == x.shape


@pytest.mark.parametrize(("threshold", "rounds"), [(100, True), (1 << 18, True), (1 << 19, False)])
def test_v_is_kept_where_the_kernels_cut_theta(threshold: int, rounds: bool):
    """Beyond 2^24 the distance from theta is no longer what the surrogate asks for."""
    cell = Neuron(np.array(1024), np.array(256), np.array(threshold))
    model = NetxModel((4, 1, 1), (DenseLayer(0, (3, 1, 1), cell, np.full((3, 4), 100)),))
    layer_pass = LayerPass(make_plan(model).layers, (4, 1, 1), 6, BackwardMode(DEFAULT), "bfloat16")
    assert layer_pass.rounds == rounds
    spikes = torch.ones((1, 4, 1, 1, 6))
    grads = []
    for precision in ("float32", "bfloat16"):
        x = spikes.clone().requires_grad_()
        backend = EngineBackend(model, gradient=precision)
        backend.forward(x, Surrogate("fast-sigmoid", 1.0)).spikes.sum().backward()
        grads.append(x.grad)
    torch.testing.assert_close(grads[1], grads[0], rtol=0.02, atol=0)
