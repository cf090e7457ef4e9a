"""What a command prints: words for people, or one JSON object and nothing else."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from neurorobust.errors import NeuroRobustError

INTERRUPTED = 130  # 128 + SIGINT, the shell's convention


class Output:
    """Where a command speaks: `console` to people, `result` to programs, `progress` meanwhile.

    With `--json` the console goes to stderr, and so does whatever any library writes to file
    descriptor 1; only the result reaches stdout.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(stderr=as_json, highlight=False)
        self.json: dict[str, Any] = {}

    def result(self, **values: Any) -> None:
        """Set what `--json` prints."""
        self.json.update(values)

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """A live display on stderr, with the time left."""
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        ) as display:
            yield display


def shown(display: Progress) -> Callable[[int, int, str], None]:
    """A callback (done, total, what) that moves one bar of the display."""
    bar = display.add_task("starting", total=None)

    def move(done: int, total: int, what: str) -> None:
        display.update(bar, completed=done, total=total, description=what)

    return move


def command_line() -> str:
    """The command as it was typed, for records."""
    return shlex.join(["neurorobust", *sys.argv[1:]])


@contextmanager
def session(as_json: bool) -> Iterator[Output]:
    """One command: raised project errors become one line on stderr and the exit code of their kind.

    With `--json` an error is also the one object on stdout: `{"error": ..., "exit_code": ...}`.
    """
    output = Output(as_json)
    with _only_ours(as_json) as stdout:
        code = 0
        try:
            yield output
        except NeuroRobustError as error:
            message = " ".join(str(error).split())
            code = error.exit_code
            output.json["error"] = message
            output.json["exit_code"] = code
            print(f"neurorobust: {message}", file=sys.stderr)
        except KeyboardInterrupt:
            code = INTERRUPTED
            output.json = {"error": "interrupted", "exit_code": code}
            print("neurorobust: interrupted; --resume goes on from here", file=sys.stderr)
        if as_json:
            with os.fdopen(os.dup(stdout), "w", encoding="utf-8") as stream:
                stream.write(json.dumps(output.json, allow_nan=False) + "\n")
    if code:
        raise typer.Exit(code)


@contextmanager
def _only_ours(as_json: bool) -> Iterator[int]:
    """Point file descriptor 1 at stderr while libraries chatter; yields the real stdout."""
    if not as_json:
        yield 1
        return
    sys.stdout.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        yield stdout
    finally:
        sys.stdout.flush()
        os.dup2(stdout, 1)
        os.close(stdout)
