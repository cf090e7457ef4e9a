"""`pytest hw_tests --target engine|reference|lava|loihi2 [--model X.net] [--data Y.npz]`.

Does a deployed network compute what it must, there? By default the shipped networks are asked.
`--data` holds inputs for `--model`: `spikes`, or `drive` and `steps`, as `neurorobust run` takes
them; or `input` or `drive` with what is expected (`spikes`, `membrane`, `layer<i>/spikes|u|v`,
`label`), as the shipped `golden.npz` do. With it, no card is needed.
A target that is asked for and not there ends the run with its own words, and is never green.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import pytest

from neurorobust.backends.base import Backend
from neurorobust.backends.registry import Settings, find_target, open_backend
from neurorobust.errors import NeuroRobustError
from neurorobust.netx.model import DenseLayer, NetxModel, Neuron
from neurorobust.provenance import versions
from neurorobust.verify.conformance import Case, find, names

Open = Callable[[NetxModel], Backend]
_PACKAGES = ("python", "neurorobust", "torch", "numpy", "lava-nc", "lava-dl")
_told: list[dict[str, Any]] = []  # what targets tell of their runs, for the summary


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--target", default="engine", help="engine, reference, lava or loihi2")
    parser.addoption("--model", default=None, help="a .net file, or a name; default: shipped")
    parser.addoption("--data", default=None, help="npz: inputs for --model, what is expected")
    parser.addoption("--batch-timeout", default=None, type=float, help="seconds for one batch")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "hardware: needs a board, deselected on other targets")
    config.addinivalue_line("markers", "golden: needs recorded answers, or a label")


def pytest_report_header(config: pytest.Config) -> list[str]:
    name = config.getoption("target")
    found = versions()
    known = ", ".join(f"{package} {found[package]}" for package in _PACKAGES if package in found)
    try:
        lines = [f"target: {name}: {find_target(name).words}"]
    except NeuroRobustError as error:
        lines = [f"target: {error}"]
    if name == "loihi2":
        from neurorobust.backends.loihi2.backend import UNTESTED
        from neurorobust.backends.loihi2.probe import verdict

        lines.append(f"board: {verdict()}; {UNTESTED}")
    model = config.getoption("model") or "shipped"
    return [*lines, f"model: {model}, data: {config.getoption('data') or 'golden'}", known]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On the target, before anything runs: is it there? What it cannot be asked is deselected."""
    fixtures = {"open_target", "target"}
    mine = [item for item in items if fixtures & set(getattr(item, "fixturenames", ()))]
    if mine:
        _open_once(config)
    if config.getoption("target") != "loihi2":
        _deselect(config, items, [item for item in mine if item.get_closest_marker("hardware")])
    lacking = []
    for item in mine:
        wanted = item.get_closest_marker("golden")
        if wanted is not None and not item.callspec.params["case"].holds(*wanted.args):
            lacking.append(item)
    _deselect(config, items, lacking)


def _open_once(config: pytest.Config) -> None:
    neuron = Neuron(np.array([0]), np.array([0]), np.array([1]))
    layer = DenseLayer(0, (1, 1, 1), neuron, np.array([[64]]))
    try:
        with open_backend(config.getoption("target"), NetxModel((1, 1, 1), (layer,))):
            pass
    except NeuroRobustError as error:
        pytest.exit(f"target {config.getoption('target')}: {error}", returncode=2)


def _deselect(config: pytest.Config, items: list[pytest.Item], lacking: list[pytest.Item]) -> None:
    if lacking:
        config.hook.pytest_deselected(items=lacking)
        items[:] = [item for item in items if item not in lacking]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        given = metafunc.config.getoption
        try:
            cases = [find(name, given("data")) for name in names(given("model"))]
        except NeuroRobustError as error:
            pytest.exit(str(error), returncode=2)
        metafunc.parametrize("case", cases, ids=[case.name for case in cases], scope="session")


@contextmanager
def _opened(config: pytest.Config) -> Iterator[Open]:
    name = config.getoption("target")
    settings = Settings(timeout=config.getoption("batch_timeout"))
    with ExitStack() as stack:

        def open_it(model: NetxModel) -> Backend:
            try:
                backend = stack.enter_context(open_backend(name, model, settings))
            except NeuroRobustError as error:
                pytest.exit(f"target {name}: {error}", returncode=2)
            stack.callback(lambda: _told.append(backend.measured()))
            return backend

        yield open_it


@pytest.fixture
def open_target(request: pytest.FixtureRequest) -> Iterator[Open]:
    """`open_target(model)`: the target for a network; closed when the test is done."""
    with _opened(request.config) as open_it:
        yield open_it


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest, case: Case) -> Iterator[Backend]:
    """The target, for the network in question."""
    with _opened(request.config) as open_it:
        yield open_it(case.model)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What targets measured: times, latency, board, power."""
    for told in _told:
        if told:
            terminalreporter.write_line(f"measured: {json.dumps(told)}")
