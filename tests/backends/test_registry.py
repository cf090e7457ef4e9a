"""Backends by name: what differs between them stands on them, and anybody may add one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from neurorobust.backends import registry
from neurorobust.backends.base import Backend, DifferentiableBackend, InProcess
from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.lava.backend import LavaBackend
from neurorobust.backends.loihi2.backend import Loihi2Backend
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.backends.registry import BACKENDS, Settings, Target, open_backend, parse_replay
from neurorobust.backends.slayer.backend import SlayerBackend
from neurorobust.cli import app
from neurorobust.errors import BadInput
from neurorobust.evaluation import read_record
from neurorobust.netx.model import DenseLayer, NetxModel, Neuron
from neurorobust.report import words

NETWORK = NetxModel(
    (1, 1, 1),
    (DenseLayer(0, (1, 1, 1), Neuron(*(np.array([k]) for k in (0, 0, 1))), np.array([[64]])),),
)
CLASSES: dict[str, type[Any]] = {
    "engine": EngineBackend,
    "reference": ReferenceBackend,
    "lava": LavaBackend,
    "loihi2": Loihi2Backend,
    "slayer": SlayerBackend,
}


class Closing(ReferenceBackend):
    """The reference, which remembers that it was closed."""

    name = "closing"
    closed = False

    def close(self) -> None:
        Closing.closed = True


def own() -> Target:
    """What a user's module would hold."""
    return Target("closing", "the toy", lambda model, settings: Closing(model))


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = dict(BACKENDS)
    yield
    BACKENDS.clear()
    BACKENDS.update(before)


def test_listing_backends_loads_neither_torch_nor_lava() -> None:
    asked = (
        "import sys; from neurorobust.backends import registry; print(registry.backend_names());"
        "print([one for one in ('torch', 'lava', 'numba') if one in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=60
    )
    assert said.stdout.splitlines() == ["['engine', 'reference', 'lava', 'loihi2']", "[]"]


def test_each_name_is_that_of_one_backend_which_says_all_that_varies() -> None:
    assert list(CLASSES) == list(BACKENDS)
    for name, made in CLASSES.items():
        assert (made.name, BACKENDS[name].name) == (name, name)
        assert made.about
        assert made.query_batch >= 1
        assert callable(made.close)
        assert callable(made.measured)
    assert [name for name, target in BACKENDS.items() if target.chip] == ["loihi2"]
    sizes = [made.query_batch for made in CLASSES.values()]
    assert sizes == [256, 8, 16, 16, 128]


def test_what_is_opened_is_a_backend() -> None:
    for name in ("engine", "reference"):
        with open_backend(name, NETWORK) as backend:
            assert isinstance(backend, Backend)
            assert backend.measured() == {}
    assert isinstance(EngineBackend(NETWORK), DifferentiableBackend)
    assert not isinstance(ReferenceBackend(NETWORK), DifferentiableBackend)


@pytest.mark.parametrize("name", ["tpu", "slayer"])
def test_what_opens_no_file_is_refused_with_the_names_that_do(name: str) -> None:
    message = f"backend '{name}': unknown, known: engine, reference, lava, loihi2"
    with pytest.raises(BadInput, match=message), open_backend(name, NETWORK):
        pass
    with pytest.raises(BadInput, match=f"--confirm {name}:3: {message}"):
        parse_replay("--confirm", f"{name}:3")


def test_a_device_that_a_backend_does_not_have_is_refused() -> None:
    message = "backend reference: runs on cpu only, not on device 'cuda'"
    with (
        pytest.raises(BadInput, match=message),
        open_backend("reference", NETWORK, Settings(device="cuda")),
    ):
        pass


@pytest.mark.parametrize("text", ["lava", "lava:", "lava:0", "lava:many"])
def test_a_replay_without_a_number_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="needs a number of samples, as in lava:32"):
        parse_replay("--confirm", text)


def test_a_registered_backend_opens_is_named_in_reports_and_closed() -> None:
    BACKENDS["closing"] = own()
    with open_backend("closing", NETWORK) as backend:
        spikes = torch.ones(1, 1, 1, 1, 3, dtype=torch.uint8)
        assert backend.run(spikes).spikes.shape == (1, 1, 3)
        assert not Closing.closed
    assert Closing.closed
    assert words.backend("closing") == "the toy"
    assert registry.backend_names()[-1] == "closing"
    assert parse_replay("--confirm", "closing:4") == ("closing", 4)


def test_a_report_of_a_backend_that_is_not_registered_here_is_refused() -> None:
    with pytest.raises(BadInput, match="backend 'closing': unknown, known: engine, "):
        words.backend("closing")


def test_a_backend_of_somebodys_own_module_is_opened_by_module_and_factory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_backend.py").write_text(
        "from neurorobust.backends.reference.backend import ReferenceBackend\n"
        "from neurorobust.backends.registry import Target\n\n\n"
        "class Mine(ReferenceBackend):\n    name = 'mine'\n\n\n"
        "def target():\n"
        "    return Target('mine', 'my loops', lambda model, settings: Mine(model))\n\n\n"
        "def nothing():\n    return 3\n\n\n"
        "def taken():\n    return Target('engine', 'mine', Mine)\n\n\n"
        "def broken():\n    raise OSError('no such thing')\n"
    )
    monkeypatch.chdir(tmp_path)
    with open_backend("own_backend:target", NETWORK) as backend:
        assert backend.name == "mine"
    assert words.backend("mine") == "my loops"
    assert parse_replay("--confirm", "own_backend:target:2") == ("mine", 2)
    for factory, message in {
        "nothing": "the factory returned int, need neurorobust.backends.registry.Target",
        "taken": "the name 'engine' is taken",
        "broken": "the factory raised OSError: no such thing",
        "missing": "has no callable 'missing'",
    }.items():
        with pytest.raises(BadInput, match=f"backend own_backend:{factory}: .*{message}"):
            registry.find_target(f"own_backend:{factory}")


def test_a_backend_that_computes_here_has_nothing_to_close_or_tell() -> None:
    InProcess().close()
    assert InProcess().measured() == {}


def test_the_command_line_evaluates_on_a_backend_of_somebodys_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_loops.py").write_text(
        "from neurorobust.backends.reference.backend import ReferenceBackend\n"
        "from neurorobust.backends.registry import Target\n\n\n"
        "class Loops(ReferenceBackend):\n    name, about = 'loops', 'loops of my own'\n\n\n"
        "def target():\n    return Target('loops', 'my loops', lambda model, _: Loops(model))\n"
    )
    monkeypatch.chdir(tmp_path)
    asked = ["evaluate", "digits-mlp", "--attacks", "none", "--limit", "3", "--out", "run"]
    done = CliRunner().invoke(app, [*asked, "--backend", "own_loops:target"])
    assert done.exit_code == 0, done.output
    record = read_record(tmp_path / "run")
    assert (record.backend, record.target) == ("loops", "loops of my own")
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "loops of my own" in page
    assert "not a measurement on a neuromorphic chip" in page
