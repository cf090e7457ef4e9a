"""`neurorobust faults bits|leak|inputs` on the shipped digits network."""

from __future__ import annotations

import json

import numpy as np
import pytest

from neurorobust import netx
from neurorobust.models import locate_model


@pytest.fixture
def small():
    return ["--limit", "40"]


def test_bits(answer, command, tmp_path, small):
    out = tmp_path / "out"
    result = answer(
        *("faults", "bits", "digits-mlp", "--dataset", "digits", "--bits", "1,3", "--known", "32"),
        *("--repeats", "2", "--out", str(out), *small),
    )
    assert [row["bits"] for row in result["rows"]] == [0, 1, 3]
    assert all(row["searched"]["total"] == 40 and len(row["random"]) == 2 for row in result["rows"])
    assert json.loads((out / "bits.json").read_text()) == result
    changed, before = netx.read(out / "3.net"), locate_model("digits-mlp")
    differing = sum(
        int(np.count_nonzero(mine.weight != theirs.weight))
        for mine, theirs in zip(changed.layers, before.layers, strict=True)
        if hasattr(mine, "weight") and isinstance(mine.weight, np.ndarray)
    )
    assert 1 <= differing <= 3
    again = command("faults", "bits", "digits-mlp", "--dataset", "digits", "--out", out, *small)
    assert again.exit_code == 2
    assert "exists already" in again.output


def test_leak(answer, tmp_path, small):
    out = tmp_path / "out"
    result = answer(
        *("faults", "leak", "digits-mlp", "--dataset", "digits", "--known", "3", "--rounds", "2"),
        *("--out", str(out), *small),
    )
    rows = result["rows"]
    assert [row["regime"] for row in rows] == ["none", "staggered", "at-once"]
    for row in rows:
        assert row["crafted"]["correct"] <= row["natural"]["correct"] <= row["control"]["correct"]
    assert np.load(out / "predecessors.npz")["none"].shape == (40, 1, 8, 8)


@pytest.mark.parametrize("budget", [("--eps", "0.1"), ("--flips", "5")])
def test_inputs(answer, small, budget):
    result = answer(
        *("faults", "inputs", "digits-mlp", "--dataset", "digits", "--objective", "energy"),
        *("--rounds", "3", *budget, *small),
    )
    names = list(result["rows"])
    assert names[:2] == ["clean", "random"]
    assert result["rows"][names[2]]["operations"] > result["rows"]["clean"]["operations"]
    assert not any(one["can_wrap"] for one in result["bounds"])
    assert all(row["wraps"] == 0 for row in result["rows"].values())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bits", "digits-mlp", "--bits", "1,x"], "'x' is no number of bits"),
        (["bits", "digits-mlp", "--bits", ","], "--bits: no number given"),
        (["bits", "digits-mlp", "--mode", "magic"], "backward mode 'magic': unknown"),
        (["inputs", "digits-mlp", "--objective", "energy"], "needs one budget"),
        (["inputs", "digits-mlp", "--objective", "x", "--eps", "1"], "--objective 'x': unknown"),
    ],
)
def test_what_is_refused(command, arguments, words):
    result = command("faults", *arguments)
    assert result.exit_code == 2
    assert words in result.output
