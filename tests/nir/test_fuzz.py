"""Graphs damaged at random, counted and seeded: each becomes a network or is refused by name.

They are read in a process of their own, by what the child of `read_graph` calls. A copy that ends
that process (HDF5 crashes, hangs or allocates) must be one clear error of `read_graph`.
"""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurorobust.errors import ModelFileError
from neurorobust.nir import read_graph

nir = pytest.importorskip("nir")
MUTATE = Path(__file__).with_name("mutate.py")
SLOWEST_S = 15.0
HANGS_S = 180.0  # a whole batch, on a busy machine
BATCH = 50


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """Every kind of node that is read."""
    one = np.ones(1)
    nodes: dict[str, Any] = {
        "input": nir.Input({"input": np.array([2, 8, 8])}),
        "conv": nir.Conv2d((8, 8), np.ones((3, 2, 3, 3), np.float32), 1, 1, 1, 1, np.zeros(3)),
        "if": nir.IF(np.ones((3, 8, 8)), np.ones((3, 8, 8))),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([3, 4, 4])}, 0),
        "fc": nir.Affine(np.ones((5, 48), np.float32), np.ones(5)),
        "lif": nir.LIF(0.01 * one, one, 0 * one, one),
        "lin": nir.Linear(np.ones((4, 5))),
        "cuba": nir.CubaLIF(0.01 * one, 0.01 * one, one, 0 * one, one),
        "output": nir.Output({"output": np.array([4])}),
    }
    path = tmp_path / "graph.nir"
    nir.write(path, nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False))
    return path


def fuzz(path: Path, count: int) -> list[dict[str, Any]]:
    """What became of each seed."""
    told: list[dict[str, Any]] = []
    while len(told) < count:
        first = len(told)
        command = [sys.executable, str(MUTATE), str(path), str(first)]
        try:
            done = subprocess.run(
                [*command, str(min(BATCH, count - first))],
                capture_output=True, text=True, timeout=HANGS_S, check=False,
            )  # fmt: skip
            lines, ended = done.stdout.splitlines(), done.returncode
            assert "Traceback" not in done.stderr, (first, done.stderr[-2000:])
        except subprocess.TimeoutExpired as late:
            lines, ended = (late.stdout or b"").decode().splitlines(), -9
        told += [json.loads(line) for line in lines]
        if ended:
            hostile = path.with_name(f"hostile-{len(told)}.nir")
            damaged = runpy.run_path(str(MUTATE))["damaged"]
            hostile.write_bytes(damaged(path.read_bytes(), len(told)))
            with pytest.raises(ModelFileError) as caught:
                read_graph(hostile, 1e-3)
            told.append({"said": str(caught.value), "foreign": True, "seconds": 0.0})
    return told


def check(told: list[dict[str, Any]], count: int) -> None:
    refused = [row["said"] for row in told if row["said"] is not None and not row["foreign"]]
    assert len(told) == count
    assert sum(row["said"] is None for row in told) > count // 20
    assert len(refused) > count // 2
    assert len(set(refused)) > count // 8
    assert all(text.isprintable() and len(text) < 400 for text in refused)
    assert sum(row["foreign"] for row in told) <= count // 20
    assert max(row["seconds"] for row in told) < SLOWEST_S


def test_damaged_graphs_become_networks_or_are_refused(graph: Path) -> None:
    check(fuzz(graph, 60), 60)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_thousand_damaged_graphs(graph: Path) -> None:
    check(fuzz(graph, 1000), 1000)
