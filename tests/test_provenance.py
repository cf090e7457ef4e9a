from __future__ import annotations

import datetime
import platform

import torch

from neurorobust import __version__
from neurorobust.provenance import machine, now, provenance, versions


def test_versions_are_those_that_run():
    found = versions()
    assert found["python"] == platform.python_version()
    assert found["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert set(found) >= {"numpy", "numba", "foolbox"}
    assert all(found.values())


def test_the_machine_is_described_but_not_named():
    found = machine()
    assert set(found) == {"system", "architecture", "processor", "cores"}
    assert all(found.values())
    assert platform.node() not in found.values()


def test_a_provenance_says_when_and_how_long():
    started = now()
    assert started.tzinfo is datetime.timezone.utc
    made = provenance("neurorobust evaluate x", started, 1.23456)
    assert made.neurorobust == __version__
    assert (made.command, made.seconds) == ("neurorobust evaluate x", 1.235)
    assert datetime.datetime.fromisoformat(made.started) == started.replace(microsecond=0)
