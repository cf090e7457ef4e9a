"""Everything a person can get wrong: one line that names it, exit code 2, nothing written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from typer.testing import Result

Break = Callable[[Path], object]


def _edit(change: Callable[[h5py.File], object]) -> Break:
    def edit(folder: Path) -> None:
        with h5py.File(folder / "model.net", "r+") as file:
            change(file)
        card = json.loads((folder / "card.json").read_text())
        (folder / "card.json").write_text(json.dumps({**card, "sha256": None}))

    return edit


def _replace(file: Any, name: str, value: Any) -> None:
    if name in file:
        del file[name]
    file[name] = value


def _truncate(folder: Path) -> None:
    path = folder / "model.net"
    path.write_bytes(path.read_bytes()[:1500])


def _as_conv(file: Any) -> None:
    del file["layer/1"], file["layer/2"], file["layer/3"]
    layer = file.create_group("layer/1")
    layer["type"] = np.array([b"conv"], "S10")
    layer["shape"] = np.array([2, 3, 3])
    layer["weight"] = np.ones((2, 1, 2, 2))
    for name, value in {"stride": 1, "padding": 0, "dilation": 1}.items():
        layer[name] = np.array([value, value])
    layer["groups"] = 1
    layer["delay"] = np.array([0, 3])
    file.copy("layer/0/neuron", layer)


def _edit_card(**changes: Any) -> Break:
    def edit(folder: Path) -> None:
        card = json.loads((folder / "card.json").read_text())
        (folder / "card.json").write_text(json.dumps({**card, **changes}))

    return edit


def _data(**arrays: Any) -> Break:
    return lambda folder: np.savez(folder / "data.npz", **arrays)


IMAGES = np.random.default_rng(0).random((4, 1, 4, 4), dtype=np.float32)
NAN = IMAGES.copy()
NAN[2, 0, 1, 1] = np.nan

FILES: dict[str, tuple[Break, str]] = {
    "not HDF5": (
        lambda folder: (folder / "model.net").write_text("hello, I am a network"),
        r"model\.net: not an HDF5 file",
    ),
    "empty": (lambda folder: (folder / "model.net").write_bytes(b""), r"model\.net: .*empty"),
    "truncated": (_truncate, r"model\.net: "),
    "missing file": (lambda folder: (folder / "model.net").unlink(), "no such file"),
    "missing field": (_edit(lambda f: f["layer/2"].pop("weight")), r"layer 2 \(dense\).*weight"),
    "unknown layer type": (
        _edit(lambda f: _replace(f, "layer/2/type", np.array([b"pool"], "S10"))),
        r"layer 2.*pool",
    ),
    "unknown neuron type": (
        _edit(lambda f: _replace(f, "layer/2/neuron/type", b"SDNN")),
        r"layer 2 \(dense\).*SDNN",
    ),
    "weight beyond range": (
        _edit(lambda f: f["layer/3/weight"].__setitem__((0, 0), 300)),
        r"layer 3 \(dense\): weight 300 outside \[-256, 254\]",
    ),
    "conv delay": (_edit(_as_conv), r"layer 1 \(conv\).*delay 3"),
    "no card": (lambda folder: (folder / "card.json").unlink(), "no card: nothing says how"),
    "card of another file": (_edit_card(sha256="0" * 64), "made for sha256 000000000000"),
    "card field unknown": (
        _edit_card(step=3),
        r"card .*card\.json: step is unknown, did you mean steps",
    ),
    "card not JSON": (lambda folder: (folder / "card.json").write_text("{"), "not JSON"),
    "shape that does not match": (
        _data(x=IMAGES[:, :, :3], y=np.zeros(4, np.int64)),
        r"\(1, 3, 4\).*\(1, 4, 4\)",
    ),
    "NaN pixels": (_data(x=NAN, y=np.zeros(4, np.int64)), "sample 2 holds NaN"),
    "labels missing": (_data(x=IMAGES), "'?y'?"),
}


@pytest.mark.parametrize("name", FILES)
def test_files(workshop: Path, command: Callable[..., Result], name: str) -> None:
    spoil, message = FILES[name]
    spoil(workshop)
    out = workshop / "out"
    result = command("evaluate", workshop / "model.net", "--out", out)
    _refused(result, message)
    assert not out.exists()


OPTIONS: dict[str, tuple[tuple[str, ...], str]] = {
    "unknown dataset": (("--dataset", "imagenet"), "dataset 'imagenet': unknown, known: digits"),
    "missing data": (("--dataset", "mnist"), "mnist.*--data-dir"),
    "unknown attack": (("--attacks", "magic", "--eps", "0.1"), "attack 'magic'.*known: .*pgd-linf"),
    "misspelt dataset": (("--dataset", "fasion-mnist"), "unknown, did you mean fashion-mnist"),
    "misspelt attack": (
        ("--attacks", "pdg-linf", "--eps", "0.1"),
        "attack 'pdg-linf': unknown, did you mean pgd-linf.*`neurorobust attacks`",
    ),
    "misspelt recipe": (("--attacks", "standrad", "--eps", "0.1"), "did you mean standard"),
    "unknown backend": (("--backend", "tpu"), "backend 'tpu': unknown, known: engine"),
    "eps below 0": (("--attacks", "random", "--eps", "-0.1"), r"eps.*-0\.1.*\[0, 1\]"),
    "eps above 1": (("--attacks", "random", "--eps", "8"), r"eps.*8.*\[0, 1\]"),
    "eps not a number": (("--attacks", "random", "--eps", "abc"), "eps.*abc"),
    "eps not finite": (("--attacks", "random", "--eps", "nan"), "eps.*nan"),
    "eps without attack": (("--eps", "0.1"), "eps"),
    "attack without eps": (("--attacks", "random"), "'random': needs a budget, give --eps 0.1$"),
    "recipe without budget": (
        ("--attacks", "standard"),
        "needs a budget, give --eps 0.1 or --flips 10 or --shifts reach=2 or --patches 5x5$",
    ),
    "confirm without number": (("--confirm", "lava"), "--confirm lava: needs a number"),
    "confirm elsewhere": (
        ("--confirm", "moon:3"),
        "backend 'moon': unknown, known: engine",
    ),
    "gradients of a target without": (
        ("--backend", "reference", "--attacks", "pgd-linf", "--eps", "0.1"),
        "reference",
    ),
    "steps": (("--steps", "0"), "card: --steps is 0, need at least 1"),
    "encoder": (("--encoder", "magic"), "--encoder 'magic': unknown, known: drive, poisson"),
    "encoder that does not fit": (("--encoder", "poisson"), "poisson.*on-chip input layer"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options(workshop: Path, command: Callable[..., Result], name: str) -> None:
    extra, message = OPTIONS[name]
    out = workshop / "out"
    result = command("evaluate", workshop / "model.net", "--out", out, *extra)
    _refused(result, message)
    assert not out.exists()


def test_an_output_that_cannot_be_written(workshop: Path, command: Callable[..., Result]) -> None:
    (workshop / "file").write_text("in the way")
    result = command("evaluate", workshop / "model.net", "--out", workshop / "file" / "out")
    _refused(result, "file/out: cannot be written")


def test_an_existing_output(workshop: Path, command: Callable[..., Result]) -> None:
    arguments = ("evaluate", workshop / "model.net", "--out", workshop / "out")
    assert command(*arguments).exit_code == 0
    before = (workshop / "out" / "record.json").read_bytes()
    _refused(command(*arguments), "out: already holds a result; --resume or --overwrite")
    assert (workshop / "out" / "record.json").read_bytes() == before
    assert command(*arguments, "--resume").exit_code == 0
    assert command(*arguments, "--overwrite").exit_code == 0


def test_json_errors_are_one_object_too(workshop: Path, answer: Callable[..., Any]) -> None:
    found = answer("evaluate", workshop / "nothing.net")
    assert found["exit_code"] == 2
    assert "no such file" in found["error"]


def _refused(result: Result, message: str) -> None:
    lines = result.output.strip().splitlines()
    assert result.exit_code == 2, result.output
    assert len(lines) == 1, result.output
    assert re.search(message, lines[0]), lines[0]
