"""A lava-dl network of the user's own project, from the command line."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import neurorobust
from neurorobust import netx
from neurorobust.models import read_card
from neurorobust.networks.lava_dl import import_slayer
from neurorobust.records import Card, EncoderCard

pytest.importorskip("lava.lib.dl", reason="lava-dl is not installed")
pytestmark = pytest.mark.lava

IMAGE = (2, 6, 5)

SOURCE = """
import torch
import lava.lib.dl.slayer as slayer

print("chatter of the user's own")
cuba = slayer.block.cuba


class Network(torch.nn.Module):
    def __init__(self, norm=None, shift=False):
        super().__init__()
        neuron = dict(threshold=1.25, current_decay=0.25, voltage_decay=0.06, norm=norm)
        more = dict(weight_scale=3, delay_shift=shift)
        self.blocks = torch.nn.ModuleList(
            [
                cuba.Conv(neuron, 2, 4, 3, stride=2, padding=1, **more),
                cuba.Flatten(),
                cuba.Dense(neuron, 36, 10, **more),
                cuba.Dense(neuron, 10, 4, **more),
            ]
        )

    def forward(self, spike):
        for block in self.blocks:
            spike = block(spike)
        return spike


def shifted():
    return Network(slayer.neuron.norm.MeanOnlyBatchNorm, shift=True)


def driven():
    network = shifted()
    first = dict(threshold=1.0, current_decay=1.0, voltage_decay=0.1)
    network.blocks.insert(0, cuba.Input(first))
    return network


class Pooled(Network):
    def __init__(self):
        super().__init__()
        self.blocks.append(cuba.Unpool(dict(threshold=1, current_decay=1, voltage_decay=1), 2))
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The user's folder: my_network.py, a state dict of each factory, data."""
    (tmp_path / "my_network.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(neurorobust.__file__).parents[1]))
    monkeypatch.delitem(sys.modules, "my_network", raising=False)
    import_slayer()  # quietly
    user = importlib.import_module("my_network")
    for factory in ("Network", "shifted", "driven"):
        torch.manual_seed(5)
        network = getattr(user, factory)().train()
        network((torch.rand(16, *IMAGE, 20) < 0.3).float())
        save_file(network.state_dict(), tmp_path / f"{factory}.safetensors")
    monkeypatch.delitem(sys.modules, "my_network")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 48)
    np.savez(
        tmp_path / "events.npz", x=(rng.random((48, *IMAGE, 20)) < 0.3).astype(np.uint8), y=labels
    )
    grid = (rng.integers(0, 33, (48, *IMAGE)) / 32).astype(np.float32)
    np.savez(tmp_path / "images.npz", x=grid, y=labels)
    return tmp_path


def put_card(data, kind):
    encoder = EncoderCard(kind=kind, mean=0.0, std=1.0)
    card = Card(dataset=f"npz:{data}", encoder=encoder, steps=20, readout="count")
    Path("card.json").write_text(card.model_dump_json())


PLAIN = (
    "--from",
    "my_network:Network",
    "--weights",
    "Network.safetensors",
    "--input-shape",
    "2,6,5",
)
SHIFTED = (
    "--from",
    "my_network:shifted",
    "--weights",
    "shifted.safetensors",
    "--input-shape",
    "2,6,5",
)
DRIVEN = (
    "--from",
    "my_network:driven",
    "--weights",
    "driven.safetensors",
    "--samples",
    "images.npz",
)


def said(capfd):
    return json.loads(capfd.readouterr().out)


def test_export_and_parity_take_a_network_of_ones_own(project, command, answer, capfd):
    exported = answer("export", *PLAIN, "--out", "model.net")
    assert [layer["type"] for layer in exported["layers"]] == [
        *("input", "conv", "flatten", "dense", "dense")
    ]
    assert exported["notes"] == []
    put_card("events.npz", "direct")
    for backend in ("engine", "reference"):
        result = command("parity", *PLAIN, "model.net", "--random", "--backend", backend)
        assert result.exit_code == 0, result.output
        assert "identical: slayer and" in result.output
    capfd.readouterr()
    assert command("parity", *PLAIN, "model.net", "--json").exit_code == 0
    found = said(capfd)
    assert (found["identical"], found["clock"], found["layers"]) == (True, "aligned", [1, 3, 4])
    untrained = ("--from", "my_network:Network", "--input-shape", "2,6,5")
    other = command("parity", *untrained, "model.net")
    assert other.exit_code == 1
    assert "not identical: layer 1 (conv), sample" in other.stderr


def test_a_shifted_network_with_biases_is_compared_on_the_global_clock(project, command, capfd):
    assert command("export", *SHIFTED, "--out", "model.net").exit_code == 0
    put_card("events.npz", "direct")
    capfd.readouterr()
    assert command("parity", *SHIFTED, "model.net", "--json", "--limit", 40).exit_code == 0
    found = said(capfd)
    assert (found["identical"], found["clock"], found["samples"]) == (True, "global", 40)
    changed = found["alignment"]["label_changes"]
    assert found["alignment"]["aligned"]["total"] == 40
    assert 0 < changed <= 40
    words = command("parity", *SHIFTED, "model.net", "--limit", 40)
    assert f"aligned resets change {changed} of 40 labels" in " ".join(words.output.split())


def test_compare_takes_one_too_and_tells_the_cost_of_aligned_resets(project, command, capfd):
    result = command("export", *DRIVEN, "--input-shape", "2,6,5", "--out", "model.net")
    assert result.exit_code == 0, result.output
    put_card("images.npz", "drive")
    result = command("parity", *DRIVEN, "--input-shape", "2,6,5", "model.net")
    assert result.exit_code == 0, result.output
    capfd.readouterr()
    arguments = (*DRIVEN, "--input-shape", "2,6,5", "model.net", "--eps", "0.1", "--limit", 6)
    result = command("compare", *arguments, "--json")
    assert result.exit_code == 0, result.output
    found = said(capfd)
    assert found["alignment"]["aligned"]["total"] == 6
    assert found["comparison"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("export", *PLAIN, "--out", "b/model.txt"), "ends in .net, as b/model.net"),
        (("export", "run", "--out", "model.txt"), "ends in .net, as model.net"),
        (
            ("export", *PLAIN, "--encoder", "direct", "--readout", "count", "--out", "x.net"),
            "card: no time steps, give --steps 16",
        ),
        (
            (
                "export",
                *PLAIN,
                "--encoder",
                "drive",
                "--mean",
                "0",
                "--std",
                "1",
                "--steps",
                "9",
                "--readout",
                "count",
                "--out",
                "x.net",
            ),
            "card of x.net: encoder drive needs an on-chip input layer",
        ),
        (("export", "--out", "x.net"), "give a run directory, or --from"),
        (("export", "run", *PLAIN, "--out", "x.net"), "give a run directory, or --from"),
        (
            ("export", "run", "--weights", "Network.safetensors", "--out", "x.net"),
            "--weights: needs --from",
        ),
        (("export", *PLAIN[:4], "--out", "x.net"), "give C, H, W (--input-shape)"),
        (("export", *PLAIN[:5], "2,six,5", "--out", "x.net"), "needs whole numbers, C,H,W"),
        (
            ("export", *PLAIN, "--samples", "none.npz", "--out", "x.net"),
            "--samples none.npz: no such file",
        ),
        (
            ("export", "--from", "my_network:Pooled", "--input-shape", "2,6,5", "--out", "x.net"),
            "block 4 (Unpool): lava.lib.dl.slayer.block.cuba.Unpool cannot be exported; NetX loads",
        ),
        (("parity", *PLAIN, "a.net", "b.net"), "give two networks, or --from"),
        (("parity", "a.net"), "give two networks, or --from"),
        (("parity", "a.net", "b.net", "--input-shape", "2"), "--input-shape: needs --from"),
        (("compare", "run", "--eps", "0.1"), "give RUN and MODEL, or --from"),
    ],
)
def test_what_does_not_fit_together_is_one_line_and_nothing_is_written(
    project, command, arguments, message
):
    result = command(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not {"x.net", "b", "model.txt", "card.json"} & {path.name for path in project.iterdir()}


def test_export_leaves_the_card_that_its_options_make(project, command, answer):
    card = ("--encoder", "direct", "--steps", "20", "--readout", "count")
    data = "npz:events.npz"
    result = command("export", *PLAIN, "--out", "b/model.net", *card, "--dataset", data)
    assert result.exit_code == 0, result.output
    found = read_card(Path("b/card.json"))
    assert (found.encoder.kind, found.steps, found.dataset) == ("direct", 20, data)
    assert found.sha256 == netx.read(Path("b/model.net")).sha256
    assert command("compare", *PLAIN, "b/model.net", "--flips", "2", "--limit", 2).exit_code == 0
    again = ("export", *PLAIN, "--out", "b/other.net", *card)
    assert "card.json: exists already" in command(*again).stderr
    assert not Path("b/other.net").exists()


def test_without_a_card_export_says_how_one_is_written_and_compare_takes_its_options(
    project, command
):
    result = command("export", *PLAIN, "--out", "model.net")
    assert "`neurorobust card model.net` with --encoder, --steps and --readout" in result.output
    card = ("--encoder", "direct", "--steps", "20", "--readout", "count")
    data = ("--dataset", "npz:events.npz", "--limit", 2)
    result = command("compare", *PLAIN, "model.net", "--flips", "2", *card, *data)
    assert result.exit_code == 0, result.output
    assert not Path("card.json").exists()
