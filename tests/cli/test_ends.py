"""Every ending of a command: one line on stderr, an exit code, and under --json one object."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from neurorobust import __main__
from neurorobust.cli import output
from neurorobust.errors import BackendError, BadInput, CheckFailed


def _ends(error: BaseException, capfd: Any, as_json: bool) -> tuple[int, str, str]:
    def command() -> None:
        with output.session(as_json) as said:
            said.result(found=3)
            raise error

    with pytest.raises(output.typer.Exit) as stop:
        command()
    told = capfd.readouterr()
    return stop.value.exit_code, told.out, told.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CheckFailed("not identical"), 1),
        (BadInput("no such file"), 2),
        (BackendError("Lava timed out"), 3),
        (KeyError("layer"), 3),
        (MemoryError(), 3),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_kind_of_ending_has_its_code_one_line_and_one_object(
    error: BaseException, code: int, capfd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found, out, err = _ends(error, capfd, as_json=False)
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert err.startswith("neurorobust: ")
    found, out, err = _ends(error, capfd, as_json=True)
    said = json.loads(out)
    assert (found, said["exit_code"], err.count("\n")) == (code, code, 1)
    assert err == f"neurorobust: {said['error']}\n"
    assert ("found" in said) == (code in (1, 2) or isinstance(error, BackendError))


def test_an_unforeseen_error_leaves_its_traceback_in_a_private_log(
    capfd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code, out, err = _ends(ZeroDivisionError("a\nb \x1b[31m"), capfd, as_json=True)
    assert code == 3
    said = json.loads(out)
    (log,) = tmp_path.iterdir()
    assert said["log"] == str(log)
    assert "ZeroDivisionError: a b" in err
    assert str(log) in err
    assert "\x1b" not in err
    assert "Traceback" not in err
    assert "Traceback" in log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_a_log_that_cannot_be_written_is_said_so(
    capfd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path / "none"))
        code, _, err = _ends(ZeroDivisionError("x"), capfd, as_json=False)
    assert code == 3
    assert "ZeroDivisionError: x (no log: No such file or directory)" in err


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 3 GiB"),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    ],
)
def test_too_little_memory_is_named_with_a_remedy_and_no_log(
    error: Exception, capfd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code, _, err = _ends(error, capfd, as_json=False)
    assert code == 3
    assert err.startswith("neurorobust: memory ran out; a smaller --limit")
    assert list(tmp_path.iterdir()) == []


def test_a_result_that_is_no_json_is_an_error_of_ours(
    capfd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(output.typer.Exit), output.session(True) as said:
        said.result(share=float("nan"))
    assert json.loads(capfd.readouterr().out)["exit_code"] == 3


@pytest.mark.parametrize(
    ("error", "code"), [(ImportError("no torch"), 3), (KeyboardInterrupt(), 130)]
)
def test_what_fails_before_any_command_is_one_object_too(
    error: BaseException,
    code: int,
    capsys: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["neurorobust", "models", "--json"])
    monkeypatch.setattr("neurorobust.cli.app", fail)
    with pytest.raises(SystemExit) as stop:
        __main__.main()
    told = capsys.readouterr()
    assert stop.value.code == code
    assert json.loads(told.out)["exit_code"] == code
    assert told.err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ("faults", "bits", "model.net"),
        ("faults", "inputs", "model.net", "--objective", "energy"),
        ("evaluate", "model.net"),
        ("parity", "model.net", "--random"),
        ("check", "model.net"),
        ("train", "--out", "run"),
        ("demo", "--out", "demo"),
    ],
)
@pytest.mark.parametrize("seed", ["99999999999999999999", str(2**63), "-1"])
def test_a_seed_beyond_what_generators_take_is_bad_input(
    command: Callable[..., Result], words: tuple[str, ...], seed: str
) -> None:
    result = command(*words, "--seed", seed)
    assert result.exit_code == 2
    assert "--seed" in result.output


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04broken", b"hello"])
def test_samples_in_a_broken_zip_are_bad_input(
    tmp_path: Path, command: Callable[..., Result], content: bytes
) -> None:
    (tmp_path / "s.npz").write_bytes(content)
    (tmp_path / "net.py").write_text("")
    result = command(
        "export", "--from", "net:Network", "--samples", tmp_path / "s.npz",
        "--out", tmp_path / "m.net",
    )  # fmt: skip
    assert result.exit_code == 2, result.output
    assert "s.npz: not a readable npz file" in result.output
    assert not (tmp_path / "m.net").exists()


def test_markup_in_a_name_is_text(capfd: Any) -> None:
    with output.session(False) as said:
        said.console.print("runs/[/a] [bold]x[/bold] :smile: \x1b]0;evil")
    assert capfd.readouterr().out == "runs/[/a] [bold]x[/bold] :smile: \\x1b]0;evil\n"


@pytest.mark.slow
def test_little_address_space_ends_in_one_line_or_in_a_library(workshop: Path) -> None:
    """An abort inside a C library cannot be caught; a Python traceback never shows."""
    for mib in (1000, 1500, 2000, 3000):
        found = subprocess.run(
            ["bash", "-c", f'ulimit -v {mib * 1024}; exec "$0" "$@"', sys.executable, "-m",
             "neurorobust", "evaluate", str(workshop / "model.net")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "Traceback" not in found.stderr, (mib, found.stderr)
        assert found.returncode != 1, (mib, found.stderr)


def test_a_command_with_bytes_that_are_no_utf8_can_be_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["neurorobust", "evaluate", "bad\udcff.net"])
    assert output.command_line() == "neurorobust evaluate 'bad\\udcff.net'"
