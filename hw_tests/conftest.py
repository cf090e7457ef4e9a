"""`pytest hw_tests --target engine|lava [--model X.net]`: does it compute what it must?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from neurorobust.backends.base import Backend
from neurorobust.errors import NeuroRobustError
from neurorobust.models import Network, catalogue, resolve
from neurorobust.targets import open_backend


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--target", default="engine", help="engine, reference or lava")
    parser.addoption("--model", default=None, help="a .net file with its card; default: shipped")


def pytest_report_header(config: pytest.Config) -> str:
    return f"target: {config.getoption('target')}, model: {config.getoption('model') or 'shipped'}"


def _names(config: pytest.Config) -> list[str]:
    given = config.getoption("model")
    if given:
        return [given]
    return [entry.name for entry in catalogue().values() if entry.origin == "shipped"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "network" in metafunc.fixturenames:
        metafunc.parametrize("network", _names(metafunc.config), indirect=True, scope="session")


@pytest.fixture(scope="session")
def network(request: pytest.FixtureRequest) -> Network:
    return resolve(request.param)


@pytest.fixture(scope="session")
def golden(network: Network) -> Path:
    path = Path(network.model.path).parent / "golden.npz"
    if not path.is_file():
        pytest.skip(f"{network.name}: no golden.npz beside it")
    return path


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest, network: Network) -> Iterator[Backend]:
    """The target; one that is asked for and not there ends the run, it is never skipped."""
    name = request.config.getoption("target")
    try:
        with open_backend(name, network.model) as backend:
            yield backend
    except NeuroRobustError as error:
        pytest.exit(f"target {name}: {error}", returncode=2)
