"""`neurorobust faults bits|leak|inputs` on the shipped digits network."""

from __future__ import annotations

import json

import numpy as np
import pytest

from neurorobust import netx
from neurorobust.models import locate_model

KEYS = {"model", "sha256", "dataset", "seed", "budget", "rounds", "bounds", "rows"}  # promised


@pytest.fixture
def small():
    return ("--limit", "40")


def test_bits(command, tmp_path, small):
    out = tmp_path / "out"
    done = command(
        *("faults", "bits", "digits-mlp", "--dataset", "digits", "--bits", "1,3", "--known", "32"),
        *("--repeats", "2", "--out", str(out), *small),
    )
    assert done.exit_code == 0, done.output
    result = json.loads((out / "record.json").read_text())
    assert [row["bits"] for row in result["rows"]] == [0, 1, 3]
    assert all(row["searched"]["total"] == 40 and len(row["random"]) == 2 for row in result["rows"])
    changed, before = netx.read(out / "3.net"), locate_model("digits-mlp")
    differing = sum(
        int(np.count_nonzero(mine.weight != theirs.weight))
        for mine, theirs in zip(changed.layers, before.layers, strict=True)
        if hasattr(mine, "weight") and isinstance(mine.weight, np.ndarray)
    )
    assert 1 <= differing <= 3
    again = command("faults", "bits", "digits-mlp", "--dataset", "digits", "--out", out, *small)
    assert again.exit_code == 2
    assert "holds a result; --resume or --overwrite" in again.output
    shown = command("report", out)
    assert shown.exit_code == 0, shown.output
    assert "Right answers after flipped weight bits" in shown.output
    assert (out / "report.html").is_file()


def test_leak(command, tmp_path, small):
    out = tmp_path / "out"
    done = command(
        *("faults", "leak", "digits-mlp", "--dataset", "digits", "--known", "3", "--rounds", "2"),
        *("--out", str(out), *small),
    )
    assert done.exit_code == 0, done.output
    rows = json.loads((out / "record.json").read_text())["rows"]
    assert [row["regime"] for row in rows] == ["none", "staggered", "at-once"]
    for row in rows:
        assert row["crafted"]["correct"] <= row["natural"]["correct"] <= row["control"]["correct"]
    assert np.load(out / "samples.npz")["predecessor/none"].shape == (40, 1, 8, 8)


def test_inputs(answer, command, small):
    asked = ("faults", "inputs", "digits-mlp", "--dataset", "digits", "--rounds", "3", *small)
    result = answer(*asked, "--objective", "energy", "--eps", "0.1")
    assert result.keys() >= KEYS
    assert result["budget"] == {"eps": "0.1"}
    rows = result["rows"]
    assert list(rows) == ["clean", "random", "energy"]
    assert rows["energy"]["operations"] > rows["clean"]["operations"]
    assert not any(one["can_wrap"] for one in result["bounds"])
    assert all(row["wraps"] == 0 for row in rows.values())
    done = command(*asked, "--objective", "truncation", "--flips", "5")
    assert done.exit_code == 0
    assert "truncation-flips" in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bits", "digits-mlp", "--bits", "1,x"], "'x' is no number of bits"),
        (["bits", "digits-mlp", "--bits", ","], "--bits: no number given"),
        (["bits", "digits-mlp", "--mode", "magic"], "backward mode 'magic': unknown"),
        (["inputs", "digits-mlp", "--objective", "energy"], "needs one budget"),
        (["inputs", "digits-mlp", "--objective", "x", "--eps", "1"], "objective 'x': unknown"),
    ],
)
def test_what_is_refused(command, arguments, words):
    result = command("faults", *arguments)
    assert result.exit_code == 2
    assert words in result.output
