"""The verbs one after another, as programs: each reads what the one before wrote."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurorobust.support import files

pytestmark = pytest.mark.lava
pytest.importorskip("lava")
Answer = Callable[..., Any]


def test_the_whole_way_as_json(tmp_path: Path, answer: Answer, told: Answer) -> None:
    """Every stdout is one JSON object, though Lava chatters when it is imported."""
    run, net, out = tmp_path / "run", tmp_path / "model.net", tmp_path / "record"

    trained = answer("train", "--out", run, "--epochs", 3, "--limit", 400)
    assert trained["epochs"] == 3
    assert trained["validation"]["total"] == 40

    exported = told("export", run, "--out", net)
    assert [layer["type"] for layer in exported["layers"]] == ["input", "flatten", "dense", "dense"]
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["sha256"] == exported["sha256"]

    for backend in ("reference", "engine", "lava"):
        checked = (answer if backend == "lava" else told)(
            "parity", run, net, "--backend", backend, "--limit", 6
        )
        assert checked["identical"] is True, checked
        assert (checked["samples"], checked["layers"]) == (6, [0, 2, 3])
    assert told("parity", net, net, "--backend", "lava", "--limit", 3)["variables"] == [
        "spikes",
        "u",
        "v",
    ]

    compared = told("compare", run, net, "--eps", "0.1", "--limit", 40, "--out", out)
    assert compared["record"] == str(out)
    (table,) = compared["comparison"]
    assert [(cell["crafted"], cell["scored"]) for cell in table["cells"]] == [
        ("float", "float"),
        ("float", "deployed"),
        ("deployed", "float"),
        ("deployed", "deployed"),
    ]

    confirmed = answer(
        "evaluate", net, "--attacks", "random,pgd-linf,spike-topk", "--eps", "0.1,0.30",
        "--flips", "5", "--limit", 30, "--confirm", "lava:9",
    )  # fmt: skip
    assert list(confirmed["robust"]) == ["0.1", "0.30"]
    assert confirmed["confirmed"]["backend"] == "lava"
    assert confirmed["confirmed"]["requested"] == 9
    assert confirmed["confirmed"]["identical"] == 9
    worst = confirmed["robust"]["0.1"]
    single = [attack["correct"] for attack in worst["by_attack"].values()]
    assert worst["correct"] <= min(single) <= confirmed["clean"]["correct"]
    assert worst["total"] == 30

    page = told("report", out)["report"]
    assert Path(page).read_text().startswith("<!doctype html>")
    assert told("models")["models"]
    assert told("info")["versions"]["lava-nc"] == "0.10.0"


def test_run_in_lava_equals_the_engine(workshop: Path, answer: Answer) -> None:
    for backend in ("engine", "lava"):
        found = answer(
            "run", workshop / "model.net", "--input", workshop / "spikes.npz",
            "--out", workshop / f"{backend}.npz", "--backend", backend, "--record",
        )  # fmt: skip
        assert found["samples"] == 6
    engine = files.read_npz(workshop / "engine.npz")
    lava = files.read_npz(workshop / "lava.npz")
    assert set(engine) == set(lava)
    for name, values in engine.items():
        assert values.dtype == lava[name].dtype
        assert np.array_equal(values, lava[name]), name


def test_a_difference_is_named_and_exits_1(
    tmp_path: Path, program: Callable[..., subprocess.CompletedProcess[str]], workshop: Path
) -> None:
    from neurorobust import netx
    from neurorobust.netx import NetxModel

    model = netx.read(workshop / "model.net")
    layers = list(model.layers)
    weight = layers[2].weight.copy()
    weight[3] = 250
    layers[2] = netx.DenseLayer(2, layers[2].shape, layers[2].neuron, weight)
    (tmp_path / "other").mkdir()
    netx.write(NetxModel(model.input_shape, tuple(layers)), tmp_path / "other" / "model.net")
    result = program("parity", workshop / "model.net", tmp_path / "other" / "model.net", "--random")
    assert result.returncode == 1
    assert "not identical: layer 2 (dense), sample 0, neuron 3, step" in result.stderr
