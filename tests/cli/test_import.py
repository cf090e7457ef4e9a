from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurorobust.datasets import load

nir = pytest.importorskip("nir")
DT = 1e-3
CARD = ("--encoder", "poisson", "--steps", "32", "--readout", "count")


def rate_coded(folder: Path) -> Path:
    """Class means of the digits, matched by leaky neurons that count in spikes."""
    data = load("digits", "train", None, False, None)
    x = data.x.flatten(1).double().numpy()
    means = np.stack([x[data.y.numpy() == label].mean(0) for label in range(10)])
    weight = means - means.mean(0)
    count = np.full(10, 1.0)
    nodes = {
        "input": nir.Input({"input": np.array([1, 8, 8])}),
        "flat": nir.Flatten({"input": np.array([1, 8, 8])}, 0),
        "fc": nir.Affine(weight, -0.5 * (means**2).sum(1) + 7.0),
        "lif": nir.LIF(20 * DT * count, 20 * count, 0 * count, 3 * count),
        "output": nir.Output({"output": np.array([10])}),
    }
    path = folder / "graph.nir"
    nir.write(path, nir.NIRGraph(nodes, list(pairwise(nodes))))
    return path


def test_a_graph_becomes_a_file_and_says_what_it_costs(
    command: Any, answer: Any, tmp_path: Path
) -> None:
    graph, out = rate_coded(tmp_path), tmp_path / "model.net"
    said = answer("import", graph, "--out", out, *CARD, "--dataset", "digits", "--limit", "200")
    float_rate, deployed = said["accuracy"]["float"], said["accuracy"]["deployed"]
    assert float_rate["total"] == deployed["total"] == 200
    assert float_rate["correct"] > 120  # it is a classifier at all
    assert abs(float_rate["correct"] - deployed["correct"]) <= 20
    assert said["accuracy"]["agree"]["correct"] > 170
    assert said["layers"][0]["name"] == "fc -> lif"
    assert 0 < said["layers"][0]["weight_error"] < 0.01
    assert answer("check", out)["runs"]
    scored = answer("evaluate", out, "--dataset", "digits", "--limit", "200")
    assert scored["clean"]["total"] == 200
    (tmp_path / "card.json").write_text("a card of another network")
    other = command("import", graph, "--out", tmp_path / "other.net", *CARD)
    assert other.exit_code == 2
    assert "card.json: exists already; --overwrite replaces it" in other.stderr
    assert (tmp_path / "card.json").read_text() == "a card of another network"
    assert not (tmp_path / "other.net").exists()
    assert command("import", graph, "--out", tmp_path / "other.net").exit_code == 0  # no card
    again = command("import", graph, "--out", out)
    assert again.exit_code == 2
    assert "exists already" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "digits"], "--dataset: needs --card, or --encoder, --steps and --readout"),
        (
            ["--encoder", "poisson"],
            "card: no time steps, give --steps 16; no readout, give --readout",
        ),
        (["--gain", "0.5"], "card: no encoder, give --encoder drive, poisson, latency or direct"),
        (["--dt", "1"], "node 'lif': tau 0.02 below dt 1"),
        ([*CARD, "--dataset", "mnist"], "mnist"),
    ],
)
def test_bad_input_leaves_nothing(
    command: Any, tmp_path: Path, arguments: list[str], message: str
) -> None:
    graph, out = rate_coded(tmp_path), tmp_path / "new" / "model.net"
    done = command("import", graph, "--out", out, *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert not out.parent.exists() or not list(out.parent.iterdir())


def test_a_network_that_never_spikes_on_the_data_is_refused(command: Any, tmp_path: Path) -> None:
    """Its neurons are sound, the data only never reach the threshold of the second layer."""
    nodes = {
        "input": nir.Input({"input": np.array([1, 8, 8])}),
        "flat": nir.Flatten({"input": np.array([1, 8, 8])}, 0),
        "fc": nir.Linear(np.eye(10, 64)),
        "if": nir.IF(np.ones(10), np.full(10, 0.5)),
        "out": nir.Linear(np.eye(10)),
        "high": nir.IF(np.ones(10), np.full(10, 100.0)),
        "output": nir.Output({"output": np.array([10])}),
    }
    graph, out = tmp_path / "silent.nir", tmp_path / "new" / "model.net"
    nir.write(graph, nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False))
    done = command("import", graph, "--out", out, *CARD, "--dataset", "digits", "--limit", "20")
    assert done.exit_code == 2
    said = "layer 1 (out -> high): no spike on any of 20 samples, so nothing is imported; stronger"
    assert said in " ".join(done.stderr.split())
    assert list(out.parent.iterdir()) == []


def test_a_name_that_no_network_file_has_is_refused_before_the_graph_is_read(
    command: Any, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "model.txt"
    done = command("import", tmp_path / "no.nir", "--out", out, *CARD)
    assert done.exit_code == 2
    assert "model.txt: a network's file ends in .net" in done.stderr
    assert not out.parent.exists()


def test_what_cannot_be_replaced_stops_an_import_before_anything_changes(
    command: Any, tmp_path: Path
) -> None:
    graph, out = rate_coded(tmp_path), tmp_path / "new" / "model.net"
    (out.parent / "card.json").mkdir(parents=True)
    done = command("import", graph, "--out", out, *CARD, "--overwrite")
    assert done.exit_code == 2
    assert "card.json: is a folder" in done.stderr
    assert [path.name for path in out.parent.iterdir()] == ["card.json"]
