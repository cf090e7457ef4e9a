"""The engine in forked children, in read-only installs and without Lava."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

NETWORK = """
import numpy as np, torch
from neurorobust.backends.engine import EngineBackend
from neurorobust.netx.model import DenseLayer, NetxModel, Neuron

cell = Neuron(np.array(0), np.array(0), np.array(300))
weight = np.random.default_rng(0).integers(-60, 90, (300, 400))
engine = EngineBackend(NetxModel((400, 1, 1), (DenseLayer(0, (300, 1, 1), cell, weight),)))
spikes = (torch.rand((64, 400, 1, 1, 20), generator=torch.Generator().manual_seed(0)) < 0.3)
run = lambda: int(engine.run(spikes.to(torch.uint8)).spikes.sum())
"""


def python(code: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_forked_child_does_not_wait_for_threads_it_has_not():
    code = """
import os
torch.set_num_threads(2)
print(run(), flush=True)
child = os.fork()
if child == 0:
    print(run(), torch.get_num_threads(), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(run(), torch.get_num_threads())
"""
    first, inside, child_threads, after, threads = python(NETWORK + code)
    assert int(first) > 0
    assert first == inside == after
    assert (child_threads, threads) == ("1", "2")


def test_without_a_place_for_the_cache_it_compiles_in_memory():
    blocked = """
from numba.core import caching
caching.CompileResultCacheImpl._locator_classes = []
"""
    code = """
from neurorobust.backends.engine import lif_cpu
print(run(), type(lif_cpu._integrate._cache).__name__)
"""
    total, cache = python(blocked + NETWORK + code)
    assert cache == "NullCache"
    assert int(total) == int(python(NETWORK + "print(run())")[0])


def test_it_needs_no_lava():
    code = """
import sys
for name in ("lava", "lava.lib", "lava.lib.dl"):
    sys.modules[name] = None
"""
    assert int(python(code + NETWORK + "print(run())")[0]) > 0


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="teaches glibc's allocator alone")
def test_freed_memory_is_kept_for_the_next_run(monkeypatch):
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    count = """
import resource

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    held = [torch.ones(1 << 18) for _ in range(24)]  # a MiB each
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

for _ in range(30):  # until the heap has found its size
    last = faults()
print(last)
"""
    silent = """
from neurorobust.backends.engine import backend
backend.keep_freed = lambda: None
"""
    without, taught = (int(python(start + NETWORK + count)[0]) for start in (silent, ""))
    if without < 24:
        pytest.skip("this torch keeps its memory untaught")
    assert taught < 24
