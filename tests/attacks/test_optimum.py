"""Tiny networks, where every change of at most 3 bits can be tried, bound the attacks."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

from neurorobust.budgets import SpikeBudget

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "spike_optimum.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("spike_optimum", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def reached(
    script: ModuleType, name: str, networks: int, samples: int, queries: int
) -> tuple[float, float]:
    """Share of the breakable samples that are broken, and with as few flips as possible."""
    used, best = [], []
    for classifier, x, labels, fewest in script.cases(networks, samples):
        used.append(script.reached(name, classifier, x, labels, queries))
        best.append(fewest)
    found, least = torch.cat(used), torch.cat(best)
    assert bool((found >= least).all()), "better than everything there is"
    breakable = least <= script.FLIPS
    assert int(breakable.sum()) >= networks
    broke = found[breakable] <= script.FLIPS
    return float(broke.float().mean()), float((found == least)[breakable].float().mean())


@pytest.mark.parametrize("name", ["sda", "sparse-search"])
def test_a_few_networks(script, name: str):
    broken, fewest = reached(script, name, 6, 4, 250)
    assert broken >= 0.9
    assert fewest >= 0.8


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["sda", "sparse-search"])
def test_sixty_networks(script, name: str):
    broken, fewest = reached(script, name, 60, 8, 1000)
    assert broken >= 0.95
    assert fewest >= 0.9


def test_the_exact_search_breaks_no_fewer_than_sda(script):
    breakable, found = 0, {"flip-search": 0, "sda": 0}
    for classifier, x, labels, fewest in script.cases(6, 4):
        breakable += int((fewest <= script.FLIPS).sum())
        for name in found:
            used = script.reached(name, classifier, x, labels, 400)
            assert bool((used >= fewest).all()), "better than everything there is"
            found[name] += int((used <= script.FLIPS).sum())
    assert found["flip-search"] >= found["sda"]
    assert found["flip-search"] == breakable


def test_everything_is_tried(script):
    tried = script.changes()
    assert len(tried) == 1 + 16 + 120 + 560
    assert len({tuple(row.tolist()) for row in tried}) == len(tried)
    assert int(tried.sum(1).max()) == script.FLIPS == SpikeBudget(3).flips
