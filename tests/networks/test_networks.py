import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurorobust.errors import BadInput
from neurorobust.fixedpoint import lif_step
from neurorobust.networks import NetworkSpec, build
from neurorobust.networks.input import InputBlock, integrate
from neurorobust.networks.lava_dl import import_slayer
from neurorobust.types import Inputs

pytest.importorskip("lava.lib.dl", reason="lava-dl is not installed")
pytestmark = pytest.mark.lava


def spec(**changes):
    given = {"kind": "mlp", "input_shape": (2, 6, 5), "classes": 4, "steps": 8, "hidden": (16,)}
    return NetworkSpec(**{**given, "weight_scale": 3.0, **changes})


CNN = {"kind": "cnn", "channels": (4, 6), "hidden": (12,)}
RECURRENT = {"kind": "recurrent", "hidden": (16, 12)}
DELAYED = {"max_delay": 3, "weight_scale": 6.0}


def spikes(batch=3, density=0.3, steps=8):
    return Inputs.of((torch.rand(batch, 2, 6, 5, steps) < density).float())


def drive(batch=3, steps=8):
    return Inputs.drive(torch.randint(-60, 200, (batch, 2, 6, 5)).float(), steps)


@pytest.mark.parametrize("changes", [{}, CNN, {"encoder": "poisson", "threshold": 0.1}])
def test_a_spec_survives_its_json(changes):
    assert NetworkSpec.from_json(spec(**changes).to_json().encode()) == spec(**changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"network\.json: not JSON: Expecting property name"),
        ("{}", "kind is missing"),
        (spec().to_json().replace('"hidden"', '"hiden"'), "hiden is unknown, did you mean hidden"),
        (
            spec().to_json().replace('"mlp"', '"rnn"'),
            'kind is "rnn", need mlp, cnn or recurrent',
        ),
        (spec().to_json().replace('"threshold": 1.25', '"threshold": 64'), "less than 64"),
        (spec().to_json().replace('"mlp"', '"cnn"'), "kind cnn: channels"),
        (
            spec(weight_norm=True).to_json().replace('"mlp"', '"recurrent"'),
            "kind recurrent: weight_norm true",
        ),
        (
            spec(max_delay=3).to_json().replace('"mlp"', '"recurrent"'),
            r"kind recurrent: max_delay 3 \(only hidden layers of an mlp\)",
        ),
        (spec(hidden=()).to_json().replace('"mlp"', '"recurrent"'), "kind recurrent: hidden"),
        (
            spec().to_json().replace('"max_delay": 0', '"max_delay": 63'),
            "max_delay is 63, need at most 62",
        ),
    ],
)
def test_a_damaged_spec_is_refused_in_one_line(text, message):
    with pytest.raises(BadInput, match=message) as caught:
        NetworkSpec.from_json(text.encode())
    assert "\n" not in str(caught.value)


def test_a_convolution_that_eats_its_image_is_refused():
    with pytest.raises(ValueError, match=r"conv output \(4, 0, 0\) is empty"):
        spec(kind="cnn", channels=(4, 4), kernel=6, stride=1, padding=1, input_shape=(1, 6, 6))


@settings(deadline=None, max_examples=60)
@given(
    bias=st.lists(st.integers(-(1 << 15), (1 << 15) - 1), min_size=1, max_size=8),
    threshold=st.integers(1, (1 << 17) - 1),
    decay=st.integers(0, 4096),
    steps=st.integers(1, 24),
)
def test_the_input_block_integrates_as_the_chip_does(bias, threshold, decay, steps):
    found, before_reset = integrate(torch.tensor(bias), steps, threshold, decay)
    voltage = current = silence = np.zeros(len(bias), dtype=np.int64)
    for step in range(steps):
        fired, current, voltage = lif_step(
            current, voltage, silence, np.array(bias), 4096, decay, threshold
        )
        assert np.array_equal(found[:, step].numpy(), fired)
        after = torch.where(found[:, step], 0, before_reset[:, step])
        assert np.array_equal(after.numpy(), voltage)


def test_the_input_block_spikes_and_silences_at_the_threshold_exactly():
    block = InputBlock((1, 1, 2), threshold=1.0, voltage_decay=0.0)
    found = block(torch.tensor([64.0, 65.0]).view(1, 1, 1, 2), 2)
    assert found.flatten().tolist() == [0, 1, 1, 1]  # 64 is not above 64, 65 is


def test_the_gradient_to_the_drive_is_slayers_own():
    slayer = import_slayer()
    neuron = slayer.neuron.cuba.Neuron(1.5, 1.0, 0.25, tau_grad=0.1, scale_grad=2.0)
    held = torch.randint(-40, 120, (5, 7)).float().requires_grad_()
    wanted = neuron((held / 64)[..., None].expand(5, 7, 12))
    drive_ = held.detach().view(5, 7, 1, 1).clone().requires_grad_()
    found = InputBlock((7, 1, 1), 1.5, 0.25, tau_grad=0.1, scale_grad=2.0)(drive_, 12)
    assert torch.equal(found.view(5, 7, 12), wanted)
    assert wanted.sum() > 0
    weights = torch.randn(5, 7, 12)
    (wanted * weights).sum().backward()
    (found.view(5, 7, 12) * weights).sum().backward()
    assert held.grad.abs().max() > 0
    torch.testing.assert_close(drive_.grad.view(5, 7), held.grad)


@pytest.mark.parametrize(
    "changes", [{}, CNN, RECURRENT, DELAYED], ids=["mlp", "cnn", "recurrent", "delayed"]
)
@pytest.mark.parametrize("encoder", ["drive", "poisson"])
def test_networks_answer_with_spikes_and_gradients_everywhere(changes, encoder):
    torch.manual_seed(0)
    network = build(spec(encoder=encoder, **changes))
    inputs = drive() if encoder == "drive" else spikes()
    leaf = inputs.values.requires_grad_()
    found = network(inputs)
    assert found.shape == (3, 4, 8)
    assert found.dtype == torch.float32
    assert set(found.unique().tolist()) == {0.0, 1.0}
    found.sum().backward()
    assert leaf.grad.abs().max() > 0
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad.abs().max() > 0, name


def test_a_recurrent_network_forgets_between_calls_and_survives_its_checkpoint():
    torch.manual_seed(0)
    network, other = build(spec(**RECURRENT)), build(spec(**RECURRENT))
    inputs = drive()
    first = network.layers(inputs)
    assert all(torch.equal(first[n], again) for n, again in network.layers(inputs).items())
    assert 0 < first[2].mean() < 1
    other.load_state_dict(network.state_dict())
    assert all(torch.equal(first[n], theirs) for n, theirs in other.layers(inputs).items())


def test_layers_are_numbered_as_in_the_file_and_flat():
    torch.manual_seed(0)
    network = build(spec(**CNN))
    found = network.layers(drive())
    assert {number: tuple(s.shape) for number, s in found.items()} == {
        0: (3, 60, 8),
        1: (3, 36, 8),
        2: (3, 24, 8),
        4: (3, 12, 8),
        5: (3, 4, 8),
    }
    of_the_input_layer = found[0].detach().view(3, 2, 6, 5, 8)
    assert found[5].sum() > 0
    assert torch.equal(network(of_the_input_layer), found[5])


def test_a_sample_answers_alike_alone_and_in_company_and_twice():
    torch.manual_seed(0)
    network = build(spec())
    inputs = spikes(5)
    together = network(inputs)
    assert together.sum() > 0
    assert torch.equal(network(inputs), together)
    assert torch.equal(network(inputs[2:3]), together[2:3])


def test_weights_come_from_torchs_generator():
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(build(spec()).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    name = "blocks.2.synapse.weight"
    assert not torch.equal(states[0][name], states[2][name])


def test_building_warns_of_nothing_even_with_weight_norm():
    network = build(spec(weight_norm=True))
    assert "blocks.2.synapse.weight_g" in network.state_dict()


def test_unfitting_inputs_are_refused():
    with pytest.raises(BadInput, match=r"no on-chip input layer \(encoder poisson\)"):
        build(spec(encoder="poisson"))(drive())
    with pytest.raises(BadInput, match=r"\(1, 2, 2\) does not match \(2, 6, 5\)"):
        build(spec())(torch.zeros(3, 1, 2, 2, 8))


def run_python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )


def test_lavas_chatter_stays_off_stdout():
    done = run_python(
        "from neurorobust.networks import NetworkSpec, build\n"
        "build(NetworkSpec(kind='mlp', input_shape=(1, 2, 2), classes=2, steps=2))\n"
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_without_lava_a_spec_works_and_build_says_what_is_missing():
    done = run_python(
        "import sys\n"
        "sys.modules['lava'] = None\n"
        "from neurorobust.errors import UnavailableError\n"
        "from neurorobust.networks import NetworkSpec, build\n"
        "spec = NetworkSpec(kind='mlp', input_shape=(1, 2, 2), classes=2, steps=2)\n"
        "try:\n"
        "    build(spec)\n"
        "except UnavailableError as error:\n"
        "    print(error)\n"
    )
    assert done.returncode == 0, done.stderr
    assert 'pip install "lava-nc==0.10.0"' in done.stdout
