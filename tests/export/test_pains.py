"""What users of lava-dl lose accuracy and days to, where export is what ends it."""

import copy
import dataclasses

import h5py
import numpy as np
import pytest
import torch

from neurorobust import netx
from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.parity import parity
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.backends.slayer.backend import SlayerBackend
from neurorobust.errors import BadInput
from neurorobust.export import explain, export
from neurorobust.networks import BlockNetwork, adopt
from neurorobust.networks.input import InputBlock
from neurorobust.networks.lava_dl import import_slayer
from neurorobust.netx.compare import difference
from neurorobust.netx.model import ConvLayer, DenseLayer

pytest.importorskip("lava.lib.dl", reason="lava-dl is not installed")
pytestmark = pytest.mark.lava


def case_of(cases, name, seed=0):
    torch.manual_seed(seed)
    return cases[name]()


def mismatches(slayer, model, inputs):
    """Spikes that differ, over all layers."""
    numbers = [layer.number for layer in model.spiking_layers]
    ours, theirs = (backend.run(inputs, numbers) for backend in (slayer, EngineBackend(model)))
    return sum(
        int((ours.layers[n].spikes != theirs.layers[n].spikes).sum()) for n in ours.layers
    ), sum(int(trace.spikes.sum()) for trace in ours.layers.values())


def with_layers(model, change):
    layers = tuple(change(layer) for layer in model.layers)
    return dataclasses.replace(model, layers=layers)


def unfolded(model, slayer):
    """The thresholds as lava-dl's export_hdf5 writes them, its exponent ignored as NetX does."""

    def change(layer):
        if not isinstance(layer, ConvLayer | DenseLayer):
            return layer
        plain = slayer._network.blocks[layer.number].neuron.v_th_mant
        neuron = dataclasses.replace(layer.neuron, threshold=np.array([plain]))
        return dataclasses.replace(layer, neuron=neuron)

    return with_layers(model, change)


@pytest.mark.parametrize("name", ["wgt-scale-up", "wgt-scale-down"])
def test_pain_04_batch_norm_scale_is_folded_into_the_threshold(cases, name):
    """NetX ignores the exponent that lava-dl writes. Folded nothing differs; ignored, much does."""
    spikes = wrong = lost = 0
    for seed in range(4):
        case = case_of(cases, name, seed)
        slayer = SlayerBackend(adopt(case.module, case.shape))
        assert slayer.exported.exact
        inputs = case.inputs(batch=32, steps=24, seed=seed)
        folded, total = mismatches(slayer, slayer.model, inputs)
        ignored, _ = mismatches(slayer, unfolded(slayer.model, slayer), inputs)
        spikes, wrong, lost = spikes + total, wrong + folded, lost + ignored
    assert spikes > 10_000
    assert wrong == 0
    assert lost > spikes // 10


@pytest.mark.parametrize("name", ["wgt-scale-up-leaky", "wgt-scale-down-leaky"])
def test_pain_04_batch_norm_scale_with_leaks_is_folded_to_the_nearest_and_says_so(cases, name):
    spikes = wrong = lost = 0
    for seed in range(4):
        case = case_of(cases, name, seed)
        slayer = SlayerBackend(adopt(case.module, case.shape))
        assert not slayer.exported.exact
        assert slayer.variables == ("spikes",)
        assert any("a few spikes differ" in note for note in slayer.exported.notes)
        inputs = case.inputs(batch=32, steps=24, seed=seed)
        folded, total = mismatches(slayer, slayer.model, inputs)
        ignored, _ = mismatches(slayer, unfolded(slayer.model, slayer), inputs)
        spikes, wrong, lost = spikes + total, wrong + folded, lost + ignored
    assert 0 < wrong < spikes // 500
    assert lost > spikes // 10


def test_pain_04_batch_norm_mean_becomes_the_bias(cases):
    case = case_of(cases, "mean-only")
    slayer = SlayerBackend(adopt(case.module, case.shape))
    layer = slayer.model.layers[1]
    mean = case.module.blocks[0].neuron.norm.running_mean
    assert layer.bias.tolist() == (-torch.round(mean * 32) * 2).int().tolist()
    assert np.any(layer.bias)
    inputs = case.inputs(batch=32, steps=24)
    dropped = with_layers(
        slayer.model,
        lambda layer: (
            dataclasses.replace(layer, bias=None)
            if hasattr(layer, "bias") and not isinstance(layer.bias, float)
            else layer
        ),
    )
    assert mismatches(slayer, slayer.model, inputs)[0] == 0
    assert mismatches(slayer, dropped, inputs)[0] > 100


def test_pain_05_conv_delays_are_refused_by_name(tutorial, conv):
    """NetX drops them in silence."""
    block = conv(2, 3, delay=True)
    network = tutorial(conv(2, 2, stride=1), block)
    adopted = adopt(network, (2, 6, 5))
    assert len(export(adopted).layers) == 3  # less than one step each: nothing is lost
    block.delay.delay.data, block.delay.init = torch.tensor([0.9, 1.0, 0.0]), True
    with pytest.raises(BadInput, match=r"block 1 \(Conv\): delay cannot be exported: NetX drops"):
        export(adopted)


def test_pain_06_pool_becomes_a_convolution_or_is_refused_with_its_replacement(tutorial, conv):
    cuba = import_slayer().block.cuba
    neuron = {"threshold": 0.5, "current_decay": 0.3, "voltage_decay": 0.1}

    def pooled(channels, height, width, *kernel, **more):
        pool = cuba.Pool(dict(neuron), *kernel, delay_shift=False, **more)
        return adopt(tutorial(conv(channels, channels), pool), (channels, 2 * height, 2 * width))

    for size in ((3, 6, 4, 2), (2, 5, 7, 2), (2, 6, 6, (3, 2)), (1, 4, 9, (2, 4))):
        layer = export(pooled(*size, weight_scale=0.5)).layers[2]
        assert isinstance(layer, ConvLayer)
        assert set(np.unique(layer.weight)) <= {0, 32}
    wide = export(pooled(130, 2, 2, 2)).layers[2]
    assert (wide.groups, wide.weight.shape) == (65, (130, 2, 2, 2))
    for size, more in (
        ((2, 8, 6, 3), {}),  # lava-dl sums rows of two channels here, without a word
        ((2, 7, 6, 3), {}),
        ((2, 6, 6, 3), {"stride": 2}),
        ((2, 6, 6, 2), {"padding": 1}),
    ):
        with pytest.raises(BadInput, match=r"block 1 \(Pool\): .*(strided Conv|cannot be given)"):
            export(pooled(*size, **more))


def test_pain_09_axis_order_survives_export_file_and_flatten(tutorial, conv, dense, tmp_path):
    """C, H, W with three different sizes, strides and kernels: any swap would show."""
    torch.manual_seed(0)
    network = tutorial(
        conv(3, 2, kernel=(2, 3), stride=(1, 2), padding=(0, 1)),
        import_slayer().block.cuba.Flatten(),
        dense(2 * 6 * 3, 5, weight_scale=4),
    )
    slayer = SlayerBackend(adopt(network, (3, 7, 5)))
    model = netx.write(slayer.model, tmp_path / "model.net")
    assert [layer.shape for layer in model.layers] == [(3, 7, 5), (2, 6, 3), (36, 1, 1), (5, 1, 1)]
    inputs = (torch.rand(6, 3, 7, 5, 12) < 0.3).to(torch.uint8)
    result = parity(slayer, ReferenceBackend(model), inputs, variables=("spikes", "u", "v"))
    assert result.identical, result.first_difference
    turned = with_layers(
        model,
        lambda layer: (
            dataclasses.replace(
                layer, weight=layer.weight.reshape(5, 2, 6, 3).transpose(0, 1, 3, 2).reshape(5, 36)
            )
            if isinstance(layer, DenseLayer)
            else layer
        ),
    )
    assert not parity(slayer, ReferenceBackend(turned), inputs).identical


LEVELS = torch.arange(-64, 64).reshape(-1, 1, 1, 1).expand(-1, 2, 2, 2) / 32


@pytest.mark.parametrize(
    ("decay", "samples", "message"),
    [
        (0.5, LEVELS, r"current_decay 0.5: lava-dl puts its input into u, the chip into v"),
        (1.0, None, r"give the samples that it is fed \(--samples\)"),
        (
            1.0,
            LEVELS + 0.0156,
            r"input -1.9844 is off its grid of 1/32: lava-dl adds -128, the chip -127",
        ),
        (1.0, LEVELS * 4, r"input -8 is off its grid of 1/32: lava-dl adds -256, the chip -512"),
        (1.0, LEVELS[:, :1], r"samples: shape \(128, 1, 2, 2\), need"),
    ],
)
def test_pain_13_stock_input_block_is_refused_where_it_is_not_the_chips(
    tutorial, dense, decay, samples, message
):
    cuba = import_slayer().block.cuba
    neuron = {"threshold": 1.0, "current_decay": decay, "voltage_decay": 0.1}
    network = tutorial(cuba.Input(neuron, delay_shift=False), cuba.Flatten(), dense(8, 3))
    with pytest.raises(BadInput, match=r"(block 0 \(Input\)|samples): ") as caught:
        adopt(network, (2, 2, 2), samples)
    assert message.replace("\\", "") in str(caught.value)


@pytest.mark.parametrize("scaling", [{}, {"weight": 1.0, "bias": 0.25}])
def test_pain_13_stock_input_block_on_its_grid_is_the_chips(tutorial, dense, scaling):
    cuba = import_slayer().block.cuba
    neuron = {"threshold": 1.0, "current_decay": 1.0, "voltage_decay": 0.1}
    stock = cuba.Input(neuron, delay_shift=False, **scaling)
    adopted = adopt(tutorial(stock, cuba.Flatten(), dense(8, 3)), (2, 2, 2), LEVELS)
    ours = adopted.blocks[0]
    assert isinstance(ours, InputBlock)
    layer = export(adopted).layers[0]
    drive = torch.trunc(layer.weight * LEVELS + layer.bias)
    with torch.no_grad():
        theirs = stock(LEVELS[..., None].expand(-1, 2, 2, 2, 20).contiguous())
    assert torch.equal(ours(drive, 20), theirs)
    assert 0 < theirs.mean() < 1


def snapshot(module):
    """Everything that export might disturb."""
    tensors = {
        name: (id(tensor), tensor.detach().clone())
        for name, tensor in (*module.named_parameters(), *module.named_buffers())
    }
    modes = [(name, part.training) for name, part in module.named_modules()]
    hooks = [len(part._forward_pre_hooks) for part in module.modules()]
    plain = [sorted(vars(part)) for part in module.modules()]
    return tensors, modes, hooks, plain


@pytest.mark.parametrize("name", ["everything-spiking", "weight-norm", "delays", "dropout", "mask"])
@pytest.mark.parametrize("training", [True, False])
def test_pain_14_life_cycle_export_leaves_the_training_network_alone(cases, name, training):
    case = case_of(cases, name)
    module = case.module.train(training)
    optimiser = torch.optim.Adam(module.parameters(), lr=0.01)
    spikes = case.inputs().values.float()
    answer = module(spikes).sum()
    before, state = snapshot(module), torch.get_rng_state()
    first = export(adopt(module, case.shape))
    SlayerBackend(adopt(module, case.shape)).run(case.inputs())
    after = snapshot(module)
    assert torch.equal(state, torch.get_rng_state())
    assert before[1:] == after[1:]
    assert before[0].keys() == after[0].keys()
    for key, (identity, values) in before[0].items():
        assert after[0][key][0] == identity, key
        assert torch.equal(after[0][key][1], values), key
    held = {id(p) for group in optimiser.param_groups for p in group["params"]}
    assert held == {id(p) for p in module.parameters()}
    answer.backward()  # the graph from before still stands
    optimiser.step()
    assert difference(first, export(adopt(module, case.shape))) is not None


def test_pain_14_life_cycle_export_before_any_forward_pass(cases):
    """lava-dl raises TypeError there; its weight-normed blocks have no weight yet."""
    for name in ("conv", "weight-norm", "delays", "pool-sum"):
        fresh, used = (case_of(cases, name) for _ in range(2))
        with torch.no_grad():
            used.module.eval()(used.inputs().values.float())
        models = [export(adopt(case.module, case.shape)) for case in (fresh, used)]
        assert difference(*models) is None, name


def test_pain_14_life_cycle_undrawn_decays_are_refused(tutorial, dense):
    own = {"shared_param": False, "current_decay": (0.1, 0.6), "voltage_decay": (0.02, 0.3)}
    network = tutorial(dense(6, 4, own))
    blind = BlockNetwork([adopt(tutorial(dense(6, 4))).blocks[0], *network.blocks], (6, 1, 1), 1)
    with pytest.raises(BadInput, match=r"block 0 \(Dense\): its decays one a channel are drawn"):
        export(blind)
    network(torch.zeros(1, 6, 3))
    decays = explain(adopt(network)).model.layers[1].neuron.current_decay
    assert len(set(decays.tolist())) == 4


def test_pain_14_life_cycle_the_file_is_fresh_whole_and_closed(cases, tmp_path):
    """lava-dl appends to what is there; here an older file is replaced in one step, or kept."""
    path = tmp_path / "model.net"
    small, large = (
        export(adopt(case.module, case.shape))
        for case in (case_of(cases, "dense"), case_of(cases, "conv"))
    )
    netx.write(large, path)
    netx.write(small, path)
    with h5py.File(path, "r") as file:
        assert sorted(file["layer"]) == ["0", "1", "2"]
    assert difference(small, netx.read(path)) is None
    content = path.read_bytes()
    spoilt = with_layers(
        small,
        lambda layer: (
            dataclasses.replace(layer, weight=layer.weight * 900)
            if isinstance(layer, DenseLayer)
            else layer
        ),
    )
    with pytest.raises(BadInput, match="outside"):
        netx.write(spoilt, path)
    assert path.read_bytes() == content
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.net"]


def test_a_training_network_that_holds_a_graph_can_be_copied(cases):
    case = case_of(cases, "weight-norm")
    case.module(case.inputs().values.float())  # weight norm keeps a weight with a graph
    with pytest.raises(RuntimeError, match="deepcopy"):
        copy.deepcopy(case.module)
    assert len(export(adopt(case.module, case.shape)).layers) == 5


def test_drive_reaches_the_first_block_of_a_network_of_ones_own(cases):
    case = case_of(cases, "own-input")
    slayer = SlayerBackend(adopt(case.module, case.shape))
    drive = case.inputs()
    assert drive.driven
    assert slayer.run(drive, [0]).layers[0].u.abs().sum() == 0
