import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurorobust.backends.base import Backend, DifferentiableBackend
from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.parity import VARIABLES, parity
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.backends.slayer.backend import SlayerBackend
from neurorobust.errors import BadInput
from neurorobust.networks import NetworkSpec, build
from neurorobust.networks.lava_dl import import_slayer
from neurorobust.surrogates import DEFAULT, Surrogate
from neurorobust.types import Inputs

pytest.importorskip("lava.lib.dl", reason="lava-dl is not installed")
pytestmark = pytest.mark.lava

MLP = {"kind": "mlp", "hidden": (24, 12)}
CNN = {"kind": "cnn", "channels": (4, 6), "hidden": (12,)}
RECURRENT = {"kind": "recurrent", "hidden": (24, 12)}
DELAYED = {**MLP, "max_delay": 5, "weight_scale": 5.0}
STEPS = 14


def network(seed=0, **changes):
    torch.manual_seed(seed)
    base = {"input_shape": (2, 8, 7), "classes": 5, "steps": STEPS, "weight_scale": 3.0, **MLP}
    return build(NetworkSpec(**{**base, **changes}))


def inputs_for(encoder, batch=6, seed=1):
    generator = torch.Generator().manual_seed(seed)
    if encoder == "drive":
        bias = torch.randint(-60, 250, (batch, 2, 8, 7), generator=generator)
        return Inputs.drive(bias.to(torch.int32), STEPS)
    return Inputs.of((torch.rand(batch, 2, 8, 7, STEPS, generator=generator) < 0.3).to(torch.uint8))


def leaf_of(inputs):
    """The same inputs as floats that take gradients, and the tensor that collects them."""
    leaf = inputs.values.float().requires_grad_()
    return inputs.with_values(leaf), leaf


def gradient(backend, inputs, surrogate=DEFAULT):
    given_, leaf = leaf_of(inputs)
    run = backend.forward(given_, surrogate)
    (
        run.spikes[:, 0].sum() + run.spikes[:, 2, 3:].sum() + run.membrane[:, 1].sum() / 1e3
    ).backward()
    return leaf.grad


@pytest.mark.parametrize("encoder", ["drive", "poisson"])
@pytest.mark.parametrize(
    "changes",
    [
        MLP,
        CNN,
        {**MLP, "weight_norm": True},
        {**MLP, "threshold": 0.25, "current_decay": 1.0, "voltage_decay": 0.0},
        {**CNN, "threshold": 1.9, "current_decay": 0.0, "voltage_decay": 0.9},
        {**CNN, "input_threshold": 1.0, "input_voltage_decay": 0.2, "stride": 1, "padding": 0},
        RECURRENT,
        {**RECURRENT, "voltage_decay": 0.5, "current_decay": 0.0},
        DELAYED,
    ],
    ids=[
        *("mlp", "cnn", "weight-norm", "no-leak", "slow-current", "valid-conv"),
        *("recurrent", "recurrent-slow-current", "delayed"),
    ],
)
def test_slayer_reference_and_engine_agree_in_every_layer_and_variable(changes, encoder):
    slayer = SlayerBackend(network(encoder=encoder, **changes))
    inputs = inputs_for(encoder)
    numbers = [layer.number for layer in slayer.model.spiking_layers]
    traces = slayer.run(inputs, numbers).layers
    assert all(0 < float(trace.spikes.float().mean()) < 1 for trace in traces.values())
    for other in (ReferenceBackend(slayer.model), EngineBackend(slayer.model)):
        result = parity(slayer, other, inputs, variables=VARIABLES)
        assert result.identical, result.first_difference
        assert result.layers == tuple(numbers)
        ours, theirs = slayer.run(inputs), other.run(inputs)
        assert ours.spikes.dtype == theirs.spikes.dtype == torch.uint8
        assert torch.equal(ours.spikes, theirs.spikes)
        assert ours.membrane.dtype == theirs.membrane.dtype == torch.int32
        assert torch.equal(ours.membrane, theirs.membrane)


@settings(deadline=None, max_examples=25)
@given(
    threshold=st.integers(1, 63 * 64 + 63),
    weight=st.integers(1, 127),
    fan=st.integers(1, 40),
    steps=st.integers(1, 30),
)
def test_below_64_slayer_and_the_chip_agree_at_the_threshold_itself(threshold, weight, fan, steps):
    made = network(
        input_shape=(fan, 1, 1),
        hidden=(),
        classes=2,
        encoder="direct",
        threshold=threshold / 64,
        voltage_decay=0.0,
        current_decay=1.0,
    )
    with torch.no_grad():
        made.blocks[2].synapse.weight.fill_(2 * weight / 64)
    slayer = SlayerBackend(made)
    ones = torch.ones(1, fan, 1, 1, steps, dtype=torch.uint8)
    result = parity(slayer, ReferenceBackend(slayer.model), ones, variables=VARIABLES)
    assert result.identical, result.first_difference


@pytest.mark.parametrize("threshold", [64.0, 100.0, 127.0])
def test_from_64_on_the_epsilon_vanishes_and_the_backend_refuses(threshold):
    cuba = import_slayer().neuron.cuba
    for limit, spike in ((threshold, 1.0), (63.0, 0.0)):  # the chip asks for v > threshold
        neuron = cuba.Neuron(limit, current_decay=1.0, voltage_decay=0.0)
        assert neuron(torch.full((1, 1, 1), limit)).item() == spike
    made = network()
    made.blocks[-1].neuron._threshold = threshold
    with pytest.raises(BadInput, match=rf"block 4 \(Dense\): threshold {threshold:g} not below 64"):
        SlayerBackend(made)


@pytest.mark.parametrize("encoder", ["drive", "poisson"])
@pytest.mark.parametrize("changes", [MLP, CNN], ids=["mlp", "cnn"])
def test_the_quantised_backend_is_what_training_sees(changes, encoder):
    trained = network(encoder=encoder, **changes)
    inputs = inputs_for(encoder)
    seen = trained.layers(inputs)
    assert seen[max(seen)].sum() > 0
    found = SlayerBackend(trained).run(inputs, list(seen)).layers
    assert found.keys() == seen.keys()
    assert all(torch.equal(found[n].spikes, seen[n].to(torch.uint8)) for n in seen)


@pytest.mark.parametrize("precision", ["float", "quantised"])
@pytest.mark.parametrize("encoder", ["drive", "poisson"])
@pytest.mark.parametrize("changes", [MLP, CNN], ids=["mlp", "cnn"])
def test_forward_gives_the_numbers_of_run_and_gradients(changes, encoder, precision):
    backend = SlayerBackend(network(encoder=encoder, **changes), precision)
    assert isinstance(backend, Backend)
    assert isinstance(backend, DifferentiableBackend)
    inputs = inputs_for(encoder)
    run, forward = backend.run(inputs), backend.forward(leaf_of(inputs)[0], DEFAULT)
    assert run.spikes.sum() > 0
    assert torch.equal(run.spikes.float(), forward.spikes)
    assert torch.equal(run.membrane.float(), forward.membrane)
    found = gradient(backend, inputs)
    per_sample = found.abs().flatten(1).amax(1)
    assert bool((per_sample > 0).all())
    assert bool(torch.isfinite(found).all())


@pytest.mark.parametrize("shape", ["fast-sigmoid", "triangle", "atan"])
@pytest.mark.parametrize("encoder", ["drive", "poisson"])
@pytest.mark.parametrize(
    "changes", [MLP, CNN, RECURRENT, DELAYED], ids=["mlp", "cnn", "recurrent", "delayed"]
)
def test_gradients_follow_the_engines_convention(changes, encoder, shape):
    slayer = SlayerBackend(network(encoder=encoder, **changes))
    inputs, surrogate = inputs_for(encoder), Surrogate(shape, 0.5)
    wanted = gradient(EngineBackend(slayer.model), inputs, surrogate)
    found = gradient(slayer, inputs, surrogate)
    assert wanted.abs().max() > 0
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=float(wanted.abs().max()) * 1e-5)


def test_the_float_network_is_another_one():
    made = network()
    inputs = inputs_for("drive", 40)
    result = parity(SlayerBackend(made, "float"), SlayerBackend(made), inputs)
    assert not result.identical
    assert result.first_difference.startswith("layer 2 (dense), sample ")
    with pytest.raises(BadInput, match=r"u is torch\.float32, only integers compare"):
        parity(SlayerBackend(made, "float"), SlayerBackend(made), inputs, variables=("u",))


@pytest.mark.parametrize("changes", [MLP, RECURRENT, DELAYED], ids=["mlp", "recurrent", "delayed"])
def test_on_the_grid_rounding_changes_nothing(changes):
    grid = {"current_decay": 1.0, "voltage_decay": 0.0, "threshold": 1.5, "input_threshold": 3.0}
    made = network(**{**changes, **grid})
    with torch.no_grad():
        for name, weight in made.blocks[2:].named_parameters():
            if name.endswith("synapse.weight"):
                weight.copy_((weight * 32).round() / 32)
    one, other = SlayerBackend(made, "float"), SlayerBackend(made)
    inputs = inputs_for("drive", 20)
    result = parity(one, other, inputs)
    assert result.identical, result.first_difference
    assert torch.equal(one.run(inputs).membrane, other.run(inputs).membrane.float())
    torch.testing.assert_close(gradient(one, inputs), gradient(other, inputs))


@pytest.mark.parametrize("changes", [MLP, RECURRENT], ids=["mlp", "recurrent"])
@pytest.mark.parametrize("precision", ["float", "quantised"])
def test_every_call_starts_from_zero_state(precision, changes):
    backend = SlayerBackend(network(**changes), precision)
    inputs = inputs_for("drive")
    first = backend.run(inputs, [2])
    backend.run(inputs_for("drive", seed=9))
    again = backend.run(inputs, [2])
    alone = backend.run(inputs[3:4])
    assert first.spikes.sum() > 0
    assert torch.equal(first.spikes, again.spikes)
    assert torch.equal(first.layers[2].v, again.layers[2].v)
    assert torch.equal(first.spikes[3:4], alone.spikes)
    assert not torch.equal(first.spikes, backend.run(inputs_for("drive", seed=9)).spikes)


@pytest.mark.parametrize("precision", ["float", "quantised"])
def test_training_on_does_not_reach_a_backend_made_before(precision):
    made = network()
    backend, inputs = SlayerBackend(made, precision), inputs_for("drive")
    before = backend.run(inputs)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(-1)
    assert torch.equal(backend.run(inputs).spikes, before.spikes)
    assert not torch.equal(SlayerBackend(made, precision).run(inputs).spikes, before.spikes)
    assert all(parameter.grad is None for parameter in made.parameters())


def test_unfitting_requests_are_refused():
    made = network()
    backend = SlayerBackend(made)
    with pytest.raises(BadInput, match="precision 'int4' unknown, known: float, quantised"):
        SlayerBackend(made, "int4")
    with pytest.raises(BadInput, match=r"value 0\.5 is not an integer"):
        backend.forward(Inputs.drive(torch.full((1, 2, 8, 7), 0.5), STEPS), DEFAULT)
    with pytest.raises(BadInput, match="neither 0 nor 1"):
        backend.forward(torch.full((1, 2, 8, 7, 4), 2.0), DEFAULT)
    with pytest.raises(BadInput, match=r"layer 0 \(input\) is skipped when spikes are given"):
        backend.run(inputs_for("poisson"), [0])
    with pytest.raises(BadInput, match="clock: 'utc' unknown, known: aligned, global"):
        backend.run(inputs_for("poisson"), clock="utc")
    with pytest.raises(BadInput, match="layer 1 holds no neurons"):
        backend.run(inputs_for("poisson"), [1])
