import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import Result

from neurorobust import netx
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.support import files
from neurorobust.types import Inputs


@pytest.mark.parametrize("backend", ["engine", "reference"])
def test_drive_gives_the_documented_arrays(
    workshop: Path, command: Callable[..., Result], backend: str
) -> None:
    out = workshop / "out.npz"
    result = command(
        "run", workshop / "model.net", "--input", workshop / "drive.npz", "--out", out,
        "--backend", backend, "--record",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    given = files.read_npz(workshop / "drive.npz")
    wanted = ReferenceBackend(netx.read(workshop / "model.net")).run(
        Inputs.drive(torch.from_numpy(given["drive"]), 9), record=[0, 2, 3]
    )
    found = files.read_npz(out)
    names = {f"layer{i}/{what}" for i in (0, 2, 3) for what in ("spikes", "u", "v")}
    assert set(found) == {"spikes", "membrane"} | names
    assert (found["spikes"].dtype, found["spikes"].shape) == (np.uint8, (6, 4, 9))
    assert (found["membrane"].dtype, found["membrane"].shape) == (np.int32, (6, 4))
    assert np.array_equal(found["spikes"], wanted.spikes.numpy())
    assert np.array_equal(found["membrane"], wanted.membrane.numpy())
    for number in (0, 2, 3):
        for what in ("spikes", "u", "v"):
            trace = getattr(wanted.layers[number], what)
            assert np.array_equal(found[f"layer{number}/{what}"], trace.numpy())
    assert found["spikes"].sum() > 0


def test_spikes_skip_the_input_layer(workshop: Path, command: Callable[..., Result]) -> None:
    out = workshop / "out.npz"
    result = command(
        "run", workshop / "model.net", "--input", workshop / "spikes.npz", "--out", out, "--record"
    )
    assert result.exit_code == 0, result.output
    found = files.read_npz(out)
    assert "layer0/spikes" not in found
    assert found["layer2/spikes"].shape == (6, 12, 9)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.zeros(3)}, r"holds 1 arrays \('a'\), need spikes, or drive and steps"),
        ({"spikes": np.zeros((1, 1, 4, 4, 2))}, "spikes is float64, need uint8"),
        ({"spikes": np.full((1, 1, 4, 4, 2), 3, np.uint8)}, "value 3 is neither 0 nor 1"),
        ({"spikes": np.zeros((1, 1, 5, 4, 2), np.uint8)}, r"shape \(1, 5, 4\) does not match"),
        ({"drive": np.zeros((1, 1, 4, 4), np.int32)}, "need spikes, or drive and steps"),
        (
            {"drive": np.full((1, 1, 4, 4), 40_000, np.int32), "steps": np.int64(3)},
            r"bias_mant 40000 outside \[-32768, 32767\]",
        ),
        (
            {"drive": np.zeros((1, 1, 4, 4), np.int32), "steps": np.int64(0)},
            "drive: 0 time steps, need at least 1",
        ),
    ],
)
def test_unfit_inputs(
    workshop: Path,
    command: Callable[..., Result],
    arrays: dict[str, np.ndarray],
    message: str,
) -> None:
    np.savez(workshop / "in.npz", **arrays)
    out = workshop / "out.npz"
    result = command("run", workshop / "model.net", "--input", workshop / "in.npz", "--out", out)
    assert result.exit_code == 2
    assert len(result.output.strip().splitlines()) == 1
    assert not out.exists()
    assert re.search(message, result.output), result.output


def test_an_existing_output_stays(workshop: Path, command: Callable[..., Result]) -> None:
    out = workshop / "out.npz"
    out.write_text("precious")
    arguments = ("run", workshop / "model.net", "--input", workshop / "drive.npz", "--out", out)
    result = command(*arguments)
    assert result.exit_code == 2
    assert "out.npz: exists already; --overwrite replaces it" in result.output
    assert out.read_text() == "precious"
    assert command(*arguments, "--overwrite").exit_code == 0
    assert "spikes" in files.read_npz(out)


def test_arrays_that_are_not_asked_for_are_not_decoded(
    workshop: Path, command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {f"n{number}\x1b": np.zeros(3) for number in range(30)}
    np.savez(workshop / "in.npz", spikes=np.zeros((1, 1, 4, 4, 2), np.uint8), **names)
    monkeypatch.setattr(np.lib.format, "read_array", None)
    out = workshop / "out.npz"
    result = command("run", workshop / "model.net", "--input", workshop / "in.npz", "--out", out)
    assert result.exit_code == 2
    assert "holds 31 arrays ('n0\\x1b', " in result.stderr
    assert len(result.stderr) < 400
    assert not out.exists()


def test_a_fifo_as_input_is_refused(workshop: Path, command: Callable[..., Result]) -> None:
    os.mkfifo(workshop / "in.npz")
    out = workshop / "out.npz"
    result = command("run", workshop / "model.net", "--input", workshop / "in.npz", "--out", out)
    assert result.exit_code == 2
    assert "in.npz: not a regular file" in result.stderr
    assert not out.exists()
