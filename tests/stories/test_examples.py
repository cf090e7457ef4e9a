"""Every example of a docstring runs as it is written. Blocks of README and docs: `test_docs.py`."""

from __future__ import annotations

import doctest
import importlib
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

import neurorobust as nr
from neurorobust import netx
from neurorobust.errors import BadInput, HardwareUnavailable, OutputError, UnavailableError
from tests.build import events, mlp

PACKAGE = Path(nr.__file__).parent
LAVA = (
    "backends.lava",
    "backends.loihi2",
    "export",
    "networks",
    "training",
    "api.training",
    "api.exports",
)
SPOKEN = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


def marked(name: str) -> object:
    needs = name.removeprefix("neurorobust.").startswith(LAVA)
    return pytest.param(name, marks=[pytest.mark.lava] if needs else [])


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """`model.net` where the example runs, and the names that it may take for granted."""
    monkeypatch.chdir(tmp_path)
    netx.write(mlp(16, 24, 4), tmp_path / "model.net")
    return {
        "torch": torch,
        "load": nr.load,
        "scored_data": nr.scored_data,
        "BadInput": BadInput,
        "OutputError": OutputError,
        "spikes": events(8, 16, 12),
        "labels": torch.arange(8) % 4,
        "recording": events(2, 16, 3000, rate=0.05),
    }


def test_there_are_examples_all_over_the_package():
    assert len(SPOKEN) > 12
    assert "neurorobust.api.evaluation" in SPOKEN
    assert not any("+SKIP" in path.read_text("utf-8") for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("name", [marked(name) for name in SPOKEN])
def test_the_examples_of_docstrings_run(name: str, given: dict[str, object]):
    module = importlib.import_module(name)
    found = doctest.DocTestFinder(exclude_empty=True).find(module, extraglobs=given)
    examples = [test for test in found if test.examples]
    assert examples, "the examples are in no docstring"
    for test in examples:
        try:
            doctest.DebugRunner().run(test)
        except doctest.UnexpectedException as failed:
            error = failed.exc_info[1]
            lacks_lava = isinstance(error, UnavailableError) and find_spec("lava") is None
            if lacks_lava or isinstance(error, HardwareUnavailable):
                pytest.skip(str(error))
            raise error from failed
