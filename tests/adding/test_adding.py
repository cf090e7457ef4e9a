"""The recipes of docs/adding.md, followed: as patches of the package, and as user code."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from neurorobust.attacks import ATTACKS
from neurorobust.attacks.modes import MODES
from neurorobust.backends.registry import BACKENDS
from neurorobust.budgets import KINDS
from neurorobust.encoders import ENCODERS
from neurorobust.readouts import READOUTS
from neurorobust.surrogates import SHAPES
from neurorobust.training.defences import DEFENCES

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MOST = {  # files of the package
    "attack": 2,
    "mode": 2,
    "shape": 2,
    "encoder": 3,
    "readout": 2,
    "defence": 2,
    "backend": 2,
    "budget": 2,
}
HEADINGS = {
    "attack": "An attack",
    "mode": "A backward mode",
    "shape": "A surrogate shape",
    "encoder": "An encoder",
    "readout": "A readout",
    "defence": "A defence",
    "backend": "A backend",
    "budget": "A budget kind",
}
REGISTRIES = (ATTACKS, MODES, SHAPES, ENCODERS, READOUTS, DEFENCES, BACKENDS, KINDS)
each_kind = pytest.mark.parametrize("kind", MOST)


def touched(kind: str) -> list[str]:
    text = (HERE / f"{kind}.patch").read_text(encoding="utf-8")
    return re.findall(r"^diff --git a/\S+ b/(\S+)$", text, re.MULTILINE)


def apply(kind: str, folder: Path) -> None:
    asked = ["git", "apply", str(HERE / f"{kind}.patch")]
    alone = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)}
    done = subprocess.run(asked, cwd=folder, env=alone, capture_output=True, text=True)
    assert done.returncode == 0, f"{kind}: {done.stderr}; write it anew: tests/adding/make.py"


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with every patch; compiled loops come along."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "neurorobust", folder / "neurorobust")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for kind in MOST:
        apply(kind, folder)
    return folder


@pytest.fixture(scope="module")
def outcomes(patched: Path) -> dict[str, str]:
    """What went wrong, by kind."""
    done = subprocess.run(
        [sys.executable, str(HERE / "exercise.py")],
        cwd=patched,
        env={**os.environ, "PYTHONPATH": str(patched)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert Path(found.pop("package")).is_relative_to(patched)
    assert list(found) == list(MOST)
    return dict(found)


@pytest.fixture(scope="module")
def exercise() -> ModuleType:
    spec = importlib.util.spec_from_file_location("adding_exercise", HERE / "exercise.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def _as_before() -> Iterator[None]:
    """Registries and modules are left as they were."""
    before = [dict(registry) for registry in REGISTRIES]
    modules = set(sys.modules)
    yield
    for registry, members in zip(REGISTRIES, before, strict=True):
        registry.clear()
        registry.update(members)  # type: ignore[arg-type]
    for name in set(sys.modules) - modules:
        if name.startswith("my_"):
            del sys.modules[name]


@each_kind
def test_a_patch_touches_no_more_files_of_the_package_than_allowed(kind: str) -> None:
    own = [name for name in touched(kind) if name.startswith("neurorobust/")]
    assert 1 <= len(own) <= MOST[kind]
    beside = set(touched(kind)) - set(own)
    assert beside <= ({"pyproject.toml"} if kind == "backend" else set())


@each_kind
def test_a_member_works_that_a_patch_adds(kind: str, outcomes: dict[str, str]) -> None:
    assert outcomes[kind] == ""


@each_kind
@pytest.mark.usefixtures("_as_before")
def test_a_member_works_that_user_code_registers(
    kind: str,
    patched: Path,
    exercise: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new = [name for name in touched(kind) if not (ROOT / name).exists()]
    for name in new:
        shutil.copy(patched / name, tmp_path / f"my_{kind}.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    (block,) = re.findall(r"```python\n(.*?)```", recipe(kind), re.DOTALL)
    with pytest.raises(Exception, match=r"unknown, known: |unknown, did you mean|Input should be"):
        getattr(exercise, kind)()
    exec(compile(block, "docs/adding.md", "exec"), {})
    getattr(exercise, kind)()


@each_kind
def test_each_recipe_names_its_patch_and_the_files_that_it_touches(kind: str) -> None:
    (row,) = [line for line in text().splitlines() if f"`{kind}.patch`" in line]
    for name in touched(kind):
        if (ROOT / name).exists() and name.startswith("neurorobust/"):
            short = name.removeprefix("neurorobust/")
            assert short in row or f"the folder's `{Path(short).name}`" in row, name


def text() -> str:
    return (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")


def recipe(kind: str) -> str:
    return text().partition(f"## {HEADINGS[kind]}\n")[2].partition("\n## ")[0]


def test_the_recipes_are_reached_from_where_one_begins_to_read() -> None:
    for page in ("README.md", "docs/reading_guide.md"):
        assert "docs/adding.md" in (ROOT / page).read_text(encoding="utf-8"), page
