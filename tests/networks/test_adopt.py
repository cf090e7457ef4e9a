import shlex
import subprocess
import sys
import warnings
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from neurorobust.errors import BadInput
from neurorobust.export import explain, export
from neurorobust.networks import adopt
from neurorobust.networks.foreign import load_foreign
from neurorobust.networks.input import InputBlock
from neurorobust.networks.lava_dl import import_slayer
from neurorobust.networks.state import load_state, read_state
from neurorobust.netx.compare import difference

pytest.importorskip("lava.lib.dl", reason="lava-dl is not installed")
pytestmark = pytest.mark.lava

NEURON = {"threshold": 1.0, "current_decay": 0.25, "voltage_decay": 0.1}
LOIHI = {
    "threshold": 1.0,
    "threshold_step": 0.1,
    "current_decay": 0.2,
    "voltage_decay": 0.1,
    "threshold_decay": 0.1,
    "refractory_decay": 0.1,
}
RESONATOR = {"threshold": 1.0, "period": 5, "decay": 0.1}
SIGMA = {"threshold": 0.1, "activation": torch.nn.functional.relu}


def blocks(family="cuba"):
    return getattr(import_slayer().block, family)


class Net(nn.Module):
    def __init__(self, *parts):
        super().__init__()
        self.blocks = nn.ModuleList(parts)

    def forward(self, x):
        counts = []
        for block in self.blocks:
            x = block(x)
            counts.append(x.mean().item())
        return x, counts


def flat(n=8, m=4, **neuron):
    return blocks().Dense({**NEURON, **neuron}, n, m, weight_scale=3, delay_shift=False)


REFUSED = {
    "Unpool": (lambda: blocks().Unpool({**NEURON}, 2), "NetX loads no unpool layer: repeat"),
    "ConvT": (lambda: blocks().ConvT({**NEURON}, 2, 2, 3), "no transposed convolution: use a Conv"),
    "KWTA": (lambda: blocks().KWTA({**NEURON}, 8, 4, 1), "an empty group for it: use a Recurrent"),
    "TimeDecimation": (lambda: blocks().TimeDecimation(2), "bin the input over time"),
    "Average": (lambda: blocks().Average(4), "end the network before it"),
    "alif": (lambda: blocks("alif").Dense({**LOIHI}, 8, 4), "its alif neurons are not computed"),
    "rf": (lambda: blocks("rf").Dense({**RESONATOR}, 8, 4), "its rf neurons are not computed"),
    "sigma_delta": (
        lambda: blocks("sigma_delta").Dense({**SIGMA}, 8, 4),
        "its sigma_delta neurons are not computed",
    ),
    "torch": (lambda: nn.Linear(8, 4), "known: lava-dl's cuba Input, Flatten"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_pain_06_blocks_that_no_file_holds_are_refused_with_number_class_and_remedy(name):
    make, remedy = REFUSED[name]
    block = make()
    with pytest.raises(BadInput) as caught:
        adopt(Net(flat(8, 8), block), (8, 1, 1))
    message = str(caught.value)
    assert message.startswith(f"block 1 ({type(block).__name__}): ")
    assert remedy in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda b: setattr(b.neuron, "graded_spike", True),
            "graded_spike cannot be exported; NetX",
        ),
        (lambda b: setattr(b.neuron, "persistent_state", True), "persistent_state cannot be"),
        (lambda b: setattr(b.neuron, "drop", lambda x: x), "dropout cannot be exported; it cannot"),
        (lambda b: setattr(b.synapse, "complex", True), "complex weights are not computed here"),
        (lambda b: setattr(b.synapse, "pre_hook_fx", lambda w: w), "takes no `descale`"),
        (
            lambda b: setattr(
                b.synapse, "pre_hook_fx", lambda w, descale=False: b.neuron.quantize_8bit(w, True)
            ),
            "pre_hook_fx gives the file other weights than the forward pass uses",
        ),
        (
            lambda b: setattr(b.neuron, "norm", nn.BatchNorm3d(4)),
            "norm BatchNorm3d cannot be exported; known: MeanOnlyBatchNorm, WgtScaleBatchNorm",
        ),
        (lambda b: b.neuron.voltage_decay.data.fill_(float("nan")), "vDecay is not finite"),
        (
            lambda b: setattr(b.neuron, "_threshold", torch.ones(4)),
            "threshold one a neuron cannot be exported",
        ),
        (
            lambda b: setattr(type(b.neuron), "ref_delay", property(lambda self: 3)),
            "refractory delay cannot be exported; Lava ignores it",
        ),
    ],
)
def test_what_is_in_a_block_and_no_file_holds_is_refused(change, message, monkeypatch):
    block = flat()
    kind = type(block.neuron)
    monkeypatch.setattr(kind, "ref_delay", kind.ref_delay)  # puts back what a change may set
    adopted = adopt(Net(block))
    change(block)
    with pytest.raises(BadInput) as caught:
        export(adopted)
    assert str(caught.value).startswith("block 0 (Dense): ")
    assert message in str(caught.value)


def recurrent(**more):
    given = {**NEURON, **more.pop("neuron", {})}
    return blocks().Recurrent(given, 8, 4, delay_shift=False, **more)


def test_recurrent_blocks_that_lava_dl_computes_another_way_are_refused():
    norm = import_slayer().neuron.norm.MeanOnlyBatchNorm
    with pytest.raises(BadInput, match=r"\(Recurrent\): norm cannot be exported unless current_d"):
        export(adopt(Net(recurrent(neuron={"norm": norm})), (8, 1, 1)))
    with pytest.warns(UserWarning, match="weight_norm"):
        made = recurrent(weight_norm=True)
    with pytest.raises(BadInput, match=r"\(Recurrent\): weight_norm cannot be exported: lava-dl"):
        export(adopt(Net(made), (8, 1, 1)))


def test_norm_and_delay_in_one_block_are_refused():
    norm = import_slayer().neuron.norm.MeanOnlyBatchNorm
    block = blocks().Dense({**NEURON, "norm": norm}, 8, 4, delay=True)
    block.neuron.norm.running_mean = torch.full((4,), 0.5)
    adopted = adopt(Net(block))
    block.delay.delay.data, block.delay.init = torch.tensor([1.0, 0, 2, 0]), True
    with pytest.raises(BadInput, match="norm and delay in one block cannot be exported"):
        export(adopted)


class Wrong(Net):
    def forward(self, x):
        return super().forward(1 - x)[0]


class Broken(Net):
    def forward(self, x, labels):
        return x


@pytest.mark.parametrize(
    ("make", "shape", "message"),
    [
        (lambda: nn.Linear(3, 4), (3,), r"network Linear: no `blocks`"),
        (lambda: Net(), (3,), r"network Net: no `blocks`"),
        (lambda: Net(blocks().Flatten(), flat()), None, r"input shape: unknown, the first block"),
        (lambda: Net(blocks().Conv({**NEURON}, 2, 2, 3)), None, r"input shape: unknown"),
        (lambda: Net(flat()), (2, 2), r"input shape \(2, 2\): needs C, H, W or one number"),
        (lambda: Net(flat()), (0, 1, 1), r"above 0"),
        (
            lambda: Net(flat(), flat(5)),
            (8,),
            r"block 1 \(Dense\): cannot be given shape \(4, 1, 1\) \(C, H, W\): it takes 5",
        ),
        (lambda: Net(flat()), (2, 3, 1), r"block 0 \(Dense\): cannot be given shape \(6, 1, 1\)"),
        (
            lambda: Net(flat(), blocks().Input(None)),
            (8,),
            r"block 1 \(Input\): an input block must",
        ),
        (
            lambda: Wrong(flat()),
            (8,),
            r"network Wrong: its forward pass does not return what its blocks",
        ),
        (
            lambda: Broken(flat()),
            (8,),
            r"network Broken: its forward pass on shape .* raised TypeE",
        ),
    ],
)
def test_networks_that_are_not_their_blocks_are_refused(make, shape, message):
    with pytest.raises(BadInput, match=message) as caught:
        adopt(make(), shape)
    assert "\n" not in str(caught.value)


def test_another_input_shape_than_it_ran_with_is_refused():
    network = Net(blocks().Conv({**NEURON}, 2, 3, 3))
    network(torch.zeros(1, 2, 8, 8, 4))
    with pytest.raises(BadInput, match=r"\(3, 5, 5\) here, but ran with \(3, 6, 6\)"):
        adopt(network, (2, 7, 7))


def test_images_for_a_dense_first_block_are_flattened():
    class Flattening(Net):
        def forward(self, x):
            return super().forward(x.flatten(1, -2))[0]

    model = export(adopt(Flattening(flat()), (2, 2, 2)))
    assert [layer.kind for layer in model.layers] == ["input", "flatten", "dense"]
    assert model.input_shape == (2, 2, 2)


def test_a_dense_network_that_wants_features_takes_the_shape_of_images():
    torch.manual_seed(0)
    model = export(adopt(Net(flat()), (2, 2, 2)))  # as lava-dl's N-MNIST tutorial has it
    assert [layer.kind for layer in model.layers] == ["input", "flatten", "dense"]
    assert model.input_shape == (2, 2, 2)
    with pytest.raises(BadInput, match="does not return what its blocks"):
        adopt(Wrong(flat()), (2, 2, 2))


class Loop(Net):
    def forward(self, drive):
        return super().forward(drive)[0]


class Stepped(Net):
    def forward(self, drive, steps):
        x = self.blocks[0](drive, steps)
        for block in self.blocks[1:]:
            x = block(x)
        return x


class OfDrive(Stepped):
    def forward(self, drive):
        return super().forward(drive.values, drive.steps)


class Named(Stepped):
    def forward(self, *, picture, steps):
        return super().forward(picture, steps)


def flipped(kind):
    class Flipped(kind):
        def forward(self, *given):
            return super().forward(*given).flip(1)

    return Flipped


@pytest.mark.parametrize("kind", [Loop, Stepped, OfDrive])
def test_a_network_that_takes_drive_is_tried_too(kind):
    torch.manual_seed(0)
    parts = (InputBlock((2, 2, 2), 1.0, 0.1), blocks().Flatten(), flat())
    assert adopt(kind(*parts)).untried == ""
    with pytest.raises(BadInput, match="network Flipped: its forward pass does not return what"):
        adopt(flipped(kind)(*parts))


def test_a_network_whose_forward_pass_could_not_be_tried_says_so_when_exported():
    made = explain(adopt(Named(InputBlock((8, 1, 1), 1.0, 0.1), flat())))
    (note,) = made.notes
    assert "network Named: its forward pass takes neither (drive, steps) nor drive alone" in note


@pytest.mark.parametrize("drawn", [True, False])
def test_convolutions_with_decays_one_a_channel_are_tried_too(drawn):
    torch.manual_seed(0)
    own = {"shared_param": False, "current_decay": (0.1, 0.6), "voltage_decay": (0.02, 0.3)}
    conv = blocks().Conv({**NEURON, **own}, 2, 5, 3, weight_scale=3)
    if drawn:
        conv(torch.zeros(1, 2, 7, 7, 3))  # five channels, five wide
    with pytest.raises(BadInput, match="does not return what its blocks"):
        adopt(flipped(Loop)(conv), (2, 7, 7))
    adopted = adopt(Loop(conv), (2, 7, 7))
    assert adopted.untried == ""
    assert conv.neuron.current_decay.numel() == (5 if drawn else 1)  # the user's own stays
    assert hasattr(conv.neuron, "current_decay_min") == (not drawn)


def wide_network():
    """Every part whose size lava-dl only knows after a forward pass."""
    own = {"shared_param": False, "current_decay": (0.1, 0.6), "voltage_decay": (0.02, 0.3)}
    norm = import_slayer().neuron.norm.MeanOnlyBatchNorm
    cuba = blocks()
    return Net(
        cuba.Flatten(),
        cuba.Dense({**NEURON, **own}, 8, 5, weight_scale=3),
        cuba.Dense({**NEURON}, 5, 6, weight_scale=3, delay=True),
        cuba.Dense({**NEURON, "norm": norm}, 6, 4, weight_scale=3),
        cuba.Recurrent({**NEURON}, 4, 3, weight_scale=3),
    )


@pytest.fixture
def trained():
    torch.manual_seed(1)
    network = wide_network().train()
    for _ in range(3):
        network((torch.rand(7, 2, 2, 2, 9) < 0.4).float())
    network.blocks[2].delay.delay.data = torch.tensor([0.0, 1.2, 2.9, 3.0, 0.4, 7.0])
    return network.eval()


def test_a_trained_state_fits_a_fresh_network(trained, tmp_path):
    path = tmp_path / "state.safetensors"
    save_file({k: v.contiguous() for k, v in trained.state_dict().items()}, path)
    torch.manual_seed(9)
    fresh = wide_network()
    load_state(fresh, read_state(path), path)
    models = [export(adopt(network.eval(), (2, 2, 2))) for network in (fresh, trained)]
    assert difference(*models) is None
    assert len(np.unique(models[0].layers[2].neuron.current_decay)) > 1
    assert models[0].layers[3].delay[:, 0].tolist() == [0, 1, 2, 3, 0, 7]
    assert np.any(models[0].layers[4].bias)


class Evil:
    def __reduce__(self):
        return (sys.exit, (3,))


@pytest.mark.parametrize("name", ["state.pt", "state.pth", "state", "a b.ckpt"])
def test_pickled_weights_are_refused_unread(name, tmp_path):
    """A pickle can run code under `weights_only=True` with every torch that lava-dl takes."""
    torch.save({"a": Evil()}, tmp_path / name)
    with pytest.raises(BadInput, match=r"not \.safetensors, the only kind that is read") as caught:
        read_state(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_pickle_under_the_name_of_safetensors_is_refused_unread(tmp_path):
    path = tmp_path / "state.safetensors"
    torch.save({"a": Evil()}, path)
    with pytest.raises(BadInput, match=r"damaged, or no \.safetensors file"):
        read_state(path)


def test_the_command_in_the_message_writes_pickled_weights_anew(trained, tmp_path):
    path = tmp_path / "my state.pt"
    state = {**trained.state_dict(), "tied": trained.state_dict()["blocks.1.synapse.weight"]}
    torch.save(state, path)
    with pytest.raises(BadInput) as caught:
        read_state(path)
    command = shlex.split(str(caught.value).partition("if you trust this file: ")[2])
    assert command[0] == "python"
    subprocess.run([sys.executable, *command[1:]], check=True)
    back = read_state(tmp_path / "my state.safetensors")
    assert back.keys() == state.keys()
    for name, value in state.items():
        assert torch.equal(back[name], value), name


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            lambda net: OrderedDict(a=torch.zeros(2)),
            "missing blocks.1.neuron.current_decay, blocks.1.neuron.voltage_decay, ",
        ),
        (lambda net: {**net.state_dict(), "b": torch.zeros(2)}, "fit Net: unknown b"),
        (
            lambda net: {**net.state_dict(), "blocks.1.synapse.weight": torch.zeros(2, 2)},
            "blocks.1.synapse.weight has shape (2, 2) in the file and (5, 8, 1, 1, 1) in the",
        ),
    ],
)
def test_a_state_that_is_none_or_does_not_fit_is_refused(trained, content, message, tmp_path):
    path = tmp_path / "state.safetensors"
    save_file({name: value.clone() for name, value in content(trained).items()}, path)
    with pytest.raises(BadInput) as caught:
        load_state(wide_network(), read_state(path), path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["none.safetensors", "none.pt", "junk.safetensors"])
def test_damaged_weight_files_are_refused(name, tmp_path):
    if name.startswith("junk"):
        (tmp_path / name).write_bytes(b"no weights at all")
    with pytest.raises(BadInput, match=rf"weights .*{name}: "):
        read_state(tmp_path / name)


SOURCE = """
print("the user's own chatter")
import torch, lava.lib.dl.slayer as slayer
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        neuron = dict(threshold=1.0, current_decay=0.25, voltage_decay=0.1)
        self.blocks = torch.nn.ModuleList([slayer.block.cuba.Dense(neuron, 8, 4)])
    def forward(self, x):
        return self.blocks[0](x)
def number():
    return 3
def fail():
    raise KeyError("lost")
"""


def test_a_factory_of_the_current_folder(tmp_path, monkeypatch, capsys):
    (tmp_path / "my_networks.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    network = load_foreign("my_networks:Net")
    assert network.input_shape == (8, 1, 1)
    assert capsys.readouterr().out == ""
    for name, message in (
        ("my_networks", "needs module:factory"),
        ("my_networks:", "needs module:factory"),
        ("nowhere_at_all:Net", "cannot import 'nowhere_at_all'"),
        ("my_networks:Other", "has no callable 'Other'"),
        ("my_networks:number", "the factory returned int, need nn.Module"),
        ("my_networks:fail", "the factory raised KeyError: 'lost'"),
    ):
        with pytest.raises(BadInput, match=message):
            load_foreign(name)
    sys.modules.pop("my_networks")


def test_only_torchs_warning_of_the_older_weight_norm_is_held_back(tmp_path, monkeypatch):
    (tmp_path / "normed.py").write_text(
        "import warnings\n"
        "import torch, lava.lib.dl.slayer as slayer\n"
        "def network():\n"
        "    warnings.warn('the user says so')\n"
        f"    dense = slayer.block.cuba.Dense({NEURON}, 8, 4, weight_norm=True)\n"
        "    return torch.nn.Sequential(dense)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "normed", raising=False)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        load_foreign("normed:network")
    assert [str(one.message) for one in seen] == ["the user says so"]


def test_masks_are_what_the_forward_pass_makes_of_them():
    """With weight norm lava-dl's forward pass makes the weights anew and the mask is lost."""
    for weight_norm in (False, True):
        torch.manual_seed(0)
        mask = (torch.arange(32).reshape(4, 8) % 3 > 0).float()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            block = blocks().Dense(
                {**NEURON}, 8, 4, weight_scale=3, mask=mask, weight_norm=weight_norm
            )
        weight = export(adopt(Net(block))).layers[1].weight
        with torch.no_grad():
            block(torch.zeros(1, 8, 3))
        used = block.synapse.pre_hook_fx(block.synapse.weight, descale=True)
        assert weight.tolist() == used.reshape(4, 8).int().tolist()
        assert (weight[mask.numpy() == 0] == 0).all() == (not weight_norm)
