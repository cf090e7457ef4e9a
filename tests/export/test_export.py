import copy

import h5py
import numpy as np
import pytest
import torch

from neurorobust import netx
from neurorobust.errors import BadInput, ModelFileError
from neurorobust.export import export
from neurorobust.networks import NetworkSpec, build
from neurorobust.networks.lava_dl import import_slayer
from neurorobust.netx.compare import difference
from neurorobust.netx.model import RecurrentLayer, SynapseLayer
from neurorobust.types import Inputs

pytest.importorskip("lava.lib.dl", reason="lava-dl is not installed")
pytestmark = pytest.mark.lava

MLP = {"kind": "mlp", "hidden": (16, 8)}
RECURRENT = {"kind": "recurrent", "hidden": (16, 8)}
DELAYED = {**MLP, "max_delay": 3}
CNN = {"kind": "cnn", "channels": (4, 6), "hidden": (12,), "kernel": 3, "stride": 2, "padding": 1}


def network(seed=0, **changes):
    torch.manual_seed(seed)
    given = {"input_shape": (2, 7, 5), "classes": 4, "steps": 8, "weight_scale": 8.0, **MLP}
    return build(NetworkSpec(**{**given, **changes}))


def train(trained, optimiser, seed):
    generator = torch.Generator().manual_seed(seed)
    drive = torch.randint(0, 200, (6, 2, 7, 5), generator=generator).float()
    loss = (trained(Inputs.drive(drive, 8)).sum(-1) - 3).square().mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


@pytest.mark.parametrize("weight_norm", [False, True])
@pytest.mark.parametrize(
    "changes", [MLP, CNN, RECURRENT, DELAYED], ids=["mlp", "cnn", "recurrent", "delayed"]
)
def test_the_integers_are_those_of_lava_dls_own_export(changes, weight_norm, tmp_path):
    weight_norm = weight_norm and changes is not RECURRENT
    ours = network(encoder="poisson", weight_norm=weight_norm, threshold=0.99, **changes)
    model = export(ours)
    cuba = import_slayer().block.cuba
    blocks = [cuba.Input(delay_shift=False), *list(ours.frozen_copy().blocks)[1:]]
    signal = torch.zeros(1, 2, 7, 5, 1)
    with h5py.File(tmp_path / "theirs.net", "w") as file, torch.no_grad():
        for number, block in enumerate(blocks):
            signal = block(signal)
            block.export_hdf5(file.create_group(f"layer/{number}"))
    theirs = netx.read(tmp_path / "theirs.net")
    assert difference(model, theirs) is None
    synapses = [layer for layer in model.layers if isinstance(layer, SynapseLayer)]
    assert len(synapses) == 3 + (changes is CNN)
    for layer in synapses:
        assert layer.weight.dtype == np.int64
        assert not np.any(layer.weight % 2)
        if isinstance(layer, RecurrentLayer):
            assert -256 <= layer.weight_rec.min() < 0 < layer.weight_rec.max() <= 254
        if changes is DELAYED and layer is not synapses[-1]:
            assert {1} <= set(np.unique(layer.delay)) <= {0, 1, 2}
        assert -256 <= layer.weight.min() < 0 < layer.weight.max() <= 254
        assert int(layer.neuron.threshold[0]) == 63  # int(0.99 * 64)
        assert int(layer.neuron.voltage_decay[0]) == 123  # round(0.03 * 4096)


def test_the_largest_weights_are_clamped_as_lava_dl_clamps_them():
    trained = network()
    with torch.no_grad():
        trained.blocks[2].synapse.weight.view(-1)[:2] = torch.tensor([7.0, -7.0])
    weight = export(trained).layers[2].weight.reshape(-1)
    assert weight[:2].tolist() == [254, -256]


def test_the_input_layer_is_written_as_the_encoder_and_the_chip_need_it(tmp_path):
    trained = network(input_weight=76, input_bias=64, input_threshold=1.99, input_voltage_decay=0.1)
    layer = netx.write(export(trained), tmp_path / "model.net").layers[0]
    assert (layer.shape, layer.weight, layer.bias) == ((2, 7, 5), 76.0, 64.0)
    assert int(layer.neuron.threshold[0]) == 127
    assert int(layer.neuron.voltage_decay[0]) == 410


@pytest.mark.parametrize("encoder", ["drive", "direct"])
@pytest.mark.parametrize("changes", [MLP, CNN, RECURRENT, DELAYED])
def test_the_file_reads_back_equal(changes, encoder, tmp_path):
    model = export(network(encoder=encoder, **changes))
    written = netx.write(model, tmp_path / "model.net")
    assert difference(model, netx.read(tmp_path / "model.net")) is None
    assert written.sha256
    assert (written.input_layer is not None) == (encoder == "drive")
    assert written.input_shape == (2, 7, 5)


@pytest.mark.parametrize("weight_norm", [False, True])
def test_training_goes_on_as_if_nothing_had_been_exported(weight_norm):
    states = []
    for interrupted in (True, False):
        trained = network(weight_norm=weight_norm)
        optimiser = torch.optim.Adam(trained.parameters(), lr=0.01)
        train(trained, optimiser, 1)
        before = copy.deepcopy(trained.state_dict())
        if interrupted:
            export(trained)
        assert before.keys() == trained.state_dict().keys()
        assert all(torch.equal(before[name], value) for name, value in trained.state_dict().items())
        train(trained, optimiser, 2)
        after = trained.state_dict()
        states.append(after)
        assert any(not torch.equal(before[name], after[name]) for name in after)
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("weight_norm", [False, True])
def test_exporting_between_forward_and_backward_harms_neither(weight_norm):
    trained = network(weight_norm=weight_norm)
    answer = trained(Inputs.drive(torch.full((2, 2, 7, 5), 100.0), 8)).sum()
    export(trained)
    answer.backward()
    assert all(p.grad is not None for p in trained.parameters() if p.requires_grad)


def spoilt(change):
    made = network()
    change(made.blocks[2], made)
    return made


def set_weight(value):
    def change(block, _):
        with torch.no_grad():
            block.synapse.weight.view(-1)[3] = value

    return change


def add_norm(block, _):
    block.neuron.norm = import_slayer().neuron.norm.MeanOnlyBatchNorm(16)


def one_step():
    axon = import_slayer().axon.Delay()
    axon.delay.data, axon.init = torch.ones(16), True
    return axon


def add_pool(_, made):
    made.blocks.append(import_slayer().block.cuba.Pool({**DYNAMICS}, 2))
    made.blocks[-1].forward = lambda signal: signal  # as a user might have patched it


DYNAMICS = {"threshold": 1, "current_decay": 1, "voltage_decay": 1}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (set_weight(float("nan")), ModelFileError, r"block 2 \(Dense\): weight nan is not finite"),
        (set_weight(float("inf")), ModelFileError, r"block 2 \(Dense\): weight inf is not finite"),
        (add_norm, BadInput, r"block 2 \(Dense\): norm MeanOnlyBatchNorm is not quantised"),
        (add_pool, BadInput, r"block 5 \(Pool\): cannot be given shape \(4, 1, 1\)"),
        (
            lambda block, _: setattr(block.synapse, "pre_hook_fx", None),
            BadInput,
            r"block 2 \(Dense\): weights are not quantised",
        ),
        (
            lambda block, _: setattr(
                block.synapse, "pre_hook_fx", lambda w, descale=False: w * 64 if descale else w
            ),
            ModelFileError,
            r"block 2 \(Dense\): weight \S+ is no integer in \[-256, 254\]",
        ),
        (
            lambda block, _: block.synapse.weight.data.zero_(),
            ModelFileError,
            r"block 2 \(Dense\): dense weights are all zero",
        ),
        (
            lambda block, _: setattr(block.neuron, "_threshold", 3000.0),
            ModelFileError,
            r"block 2 \(Dense\): vThMant 192000 outside \[0, 131071\]",
        ),
    ],
)
def test_what_cannot_be_exported_is_named(change, error, message):
    with pytest.raises(error, match=message) as caught:
        export(spoilt(change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "change", "error", "message"),
    [
        (
            DELAYED,
            lambda block: block.delay.delay.data.__setitem__(2, 63.5),
            ModelFileError,
            r"block 2 \(Dense\): delay 63.5 outside \[0, 62\]",
        ),
        (
            DELAYED,
            lambda block: block.delay.delay.data.__setitem__(2, float("nan")),
            ModelFileError,
            r"block 2 \(Dense\): delay nan is not finite",
        ),
        (
            RECURRENT,
            lambda block: block.recurrent_synapse.weight.data.__setitem__(3, float("nan")),
            ModelFileError,
            r"block 2 \(Recurrent\): weight_rec nan is not finite",
        ),
        (
            RECURRENT,
            lambda block: setattr(block, "delay", one_step()),
            BadInput,
            r"block 2 \(Recurrent\): delay cannot be exported",
        ),
        (
            RECURRENT,
            lambda block: setattr(block, "bias", 1.0),
            BadInput,
            r"block 2 \(Recurrent\): bias cannot be exported",
        ),
        (
            RECURRENT,
            lambda block: [
                synapse.weight.data.zero_()
                for synapse in (block.input_synapse, block.recurrent_synapse)
            ],
            ModelFileError,
            r"block 2 \(Recurrent\): dense weights are all zero",
        ),
    ],
)
def test_recurrent_and_delayed_blocks_that_cannot_be_exported_are_named(
    kind, change, error, message, monkeypatch
):
    trained = network(**kind)
    change(trained.blocks[2])
    # a forward pass would clamp or spoil what is to be found
    monkeypatch.setattr(type(trained), "settle", lambda self: None)
    with pytest.raises(error, match=message):
        export(trained)


def test_delays_below_one_step_are_none():
    trained = network(**DELAYED)
    for block in list(trained.blocks)[2:-1]:
        block.delay.delay.data.fill_(0.99)
    assert [layer.delay for layer in export(trained).layers[2:]] == [None] * 3
