"""`.nir` files made to mislead: refused by name, quickly, in little memory, without escapes."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import neurorobust
from neurorobust.errors import ModelFileError
from neurorobust.nir import read_graph
from neurorobust.nir.layers import FloatLayer, Synapses
from neurorobust.nir.load import SMALL_BYTES, load_graph
from neurorobust.nir.transfer import pack, unpack

nir = pytest.importorskip("nir")
WEIGHT = "node/nodes/fc/weight"


@pytest.fixture
def edited(tmp_path: Path) -> Callable[..., Path]:
    """A small graph whose HDF5 file `edit` changed."""

    def make(edit: Callable[[Any], object]) -> Path:
        nodes = {
            "input": nir.Input({"input": np.array([6])}),
            "fc": nir.Linear(np.ones((3, 6))),
            "if": nir.IF(np.ones(3), np.ones(3)),
            "output": nir.Output({"output": np.array([3])}),
        }
        path = tmp_path / "graph.nir"
        nir.write(path, nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False))
        with h5py.File(path, "r+") as file:
            edit(file)
        return path

    return make


def put(name: str, value: Any = None, **settings: Any) -> Callable[[Any], object]:
    """Another value, or a dataset with `settings`, in the place of a field."""

    def edit(file: Any) -> None:
        if name in file:
            del file[name]
        if settings:
            file.create_dataset(name, **settings)
        else:
            file[name] = value

    return edit


def virtual(file: Any) -> None:
    del file[WEIGHT]
    layout = h5py.VirtualLayout((3, 6), "f8")
    layout[:] = h5py.VirtualSource("other.nir", "weight", (3, 6))
    file.create_virtual_dataset(WEIGHT, layout)


def many(file: Any) -> None:
    """Each below the limit, and of few bytes in the file; together beyond it."""
    for number in range(20):
        file.create_dataset(f"node/m{number}", (1 << 20,), "f8", compression="gzip")


def loop(file: Any) -> None:
    file["node/nodes/again"] = file["node"]


def old(file: Any) -> None:
    put("version", "0.0.1")(file)
    del file["node/nodes/if/v_threshold"]


BOMB = {"shape": (1 << 14, 1 << 14), "dtype": "f8", "compression": "gzip"}
REFUSED: dict[str, tuple[Callable[[Any], object], str]] = {
    "soft link": (put(WEIGHT, h5py.SoftLink("/version")), "is a link (SoftLink), not data"),
    "external link": (
        put("node/nodes/fc", h5py.ExternalLink("/etc/passwd", "/node")),
        "'node/nodes/fc' is a link (ExternalLink), not data",
    ),
    "external data": (
        put(WEIGHT, shape=(3, 6), dtype="f8", external=[("/dev/zero", 0, 144)]),
        f"{WEIGHT} keeps its data in another file",
    ),
    "virtual data": (virtual, f"{WEIGHT} is a virtual dataset, its data is elsewhere"),
    "a compressed giant": (put(WEIGHT, **BOMB), f"{WEIGHT} declares 2147483648 bytes"),
    "many large ones": (many, f"exceeds the {SMALL_BYTES} that this file may hold"),
    "a group in itself": (loop, "groups lie more than 8 deep"),
    "a name with an escape": (
        put("node/nodes/\x1b[31mred", h5py.SoftLink("/x")), "node/nodes/\\x1b[31mred' is a link",
    ),
    "a field with an escape": (put("node/nodes/fc/\x1b[2J", 1.0), "keyword argument '\\x1b[2J'"),
    "a shape of text": (put("node/nodes/input/shape", "0.1"), "shape holds no whole numbers"),
    "a shape of a group": (
        lambda file: (
            file.pop("node/nodes/input/shape"), file.create_group("node/nodes/input/shape"),
        ), "node 'input': shape holds no whole numbers",
    ),
    "an endless shape": (
        put("node/nodes/input/shape", np.array([1 << 40])), "shape 1099511627776 outside",
    ),
    "an unknown node": (
        put("node/nodes/fc/type", "Magic"),
        "node 'fc': Magic is out of scope, known: Input, Affine, Linear, Conv2d, Flatten, "
        "SumPool2d, LIF, CubaLIF, IF, LI, Output",
    ),
    "an older nir": (old, "written by nir 0.0.1, which nir "),
    "infinite products": (put(WEIGHT, np.full((3, 6), 1e300)), "a step adds up to 1e+300, limit"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_reaches_beyond_the_file_or_is_no_graph_is_refused(
    name: str, edited: Callable[..., Path]
) -> None:
    edit, message = REFUSED[name]
    path = edited(edit)
    with pytest.raises(ModelFileError) as caught:
        read_graph(path, 1e-3)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400 + len(str(path))


def test_what_a_file_declares_is_refused_before_it_is_allocated(
    edited: Callable[..., Path],
) -> None:
    """In this very process: the largest memory it ever had does not grow."""
    path = edited(put(WEIGHT, **BOMB))
    assert path.stat().st_size < 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelFileError, match="declares 2147483648 bytes"):
        load_graph(path.read_bytes(), "x")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.nir"
    os.mkfifo(fifo)
    for path in (fifo, Path("/dev/zero"), tmp_path):
        with pytest.raises(ModelFileError, match="not a regular file"):
            read_graph(path, 1e-3)


def test_a_git_lfs_pointer_is_named(tmp_path: Path) -> None:
    path = tmp_path / "graph.nir"
    path.write_text("version https://git-lfs.example/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(ModelFileError, match="a Git LFS pointer, not the file itself; `git lfs pu"):
        read_graph(path, 1e-3)


def test_layers_arrive_from_the_child_as_they_were() -> None:
    rng = np.random.default_rng(0)
    synapses = Synapses("c", rng.random((4, 1, 3, 2)), rng.random(4), (2, 1), (1, 0), (1, 2), 2)
    numbers = [rng.random(4) for _ in range(4)]
    layer = FloatLayer("c -> n", synapses, (4, 5, 6), *numbers, np.full(1, np.inf))
    shape, (found,) = unpack(pack((2, 9, 9), (layer,)))
    assert shape == (2, 9, 9)
    for before, after in ((synapses, found.synapses), (layer, found)):
        for name, value in vars(before).items():
            if isinstance(value, np.ndarray):
                assert np.array_equal(value, getattr(after, name))
            elif name != "synapses":
                assert value == getattr(after, name)


def test_the_reader_imports_nothing_from_the_callers_folder(
    edited: Callable[..., Path], tmp_path: Path
) -> None:
    evil = tmp_path / "evil"
    evil.mkdir()
    for name in ("nir", "h5py", "numpy", "secrets", "json"):
        (evil / f"{name}.py").write_text(f"open({str(evil / 'ran')!r}, 'w').close()")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from neurorobust.nir import read_graph\n"
        "print(len(read_graph(sys.argv[2], 1e-3)[1]))"
    )
    root = str(Path(neurorobust.__file__).resolve().parents[1])
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, root, str(edited(lambda file: None))],
        cwd=evil, env={**os.environ, "PYTHONPATH": str(evil)}, capture_output=True, text=True,
        timeout=100, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["1"], done.stderr
    assert not (evil / "ran").exists()
