"""What a command prints: words for people, or one JSON object and nothing else."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from neurorobust.errors import NeuroRobustError

INTERRUPTED = 130  # 128 + SIGINT, the shell's convention
LINE_EVERY_S = 20.0  # progress where there is no terminal
SPEED_OVER_S = 3600.0  # pieces of work differ in length: the time left is from all so far


class Output:
    """Where a command speaks: `console` to people, `result` to programs, `progress` meanwhile.

    With `--json` the console goes to stderr, and so does whatever any library writes to file
    descriptor 1; only the result reaches stdout.
    """

    begun: ClassVar[bool] = False  # a command took over: what it printed is the answer

    def __init__(self, as_json: bool) -> None:
        Output.begun = True
        self.as_json = as_json
        self.console = Console(stderr=as_json, highlight=False)
        self.json: dict[str, Any] = {}

    def result(self, **values: Any) -> None:
        """Set what `--json` prints."""
        self.json.update(values)

    @contextmanager
    def progress(self) -> Iterator[Bars]:
        """A live display on stderr, with the time left; it appears with the first move."""
        bars = Bars()
        try:
            yield bars
        finally:
            bars.stop()


class Bars:
    """A callback `(done, total, what)`: one bar for each piece of work, one piece after another.

    Where stderr is no terminal, a line now and then instead.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._display = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=18),
            MofNCompleteColumn(),
            TimeRemainingColumn(table_column=Column(min_width=7)),
            TextColumn("left", table_column=Column(min_width=4)),
            console=self._console,
            speed_estimate_period=SPEED_OVER_S,
        )
        self._task: TaskID | None = None
        self._at = (0, 0)
        self._said = -LINE_EVERY_S
        self._begun = (0.0, 0)  # when this piece of work began, and what was done by then

    def __call__(self, done: int, total: int, what: str) -> None:
        """Move the bar; another total, or less done than before, begins a new piece of work."""
        new = self._at[1] != total or done < self._at[0]
        if not self._console.is_terminal:
            if new or time.monotonic() - self._said >= LINE_EVERY_S:
                self._said = time.monotonic()
                print(f"{what}: {done} of {total}{self._left(done, total, new)}", file=sys.stderr,
                      flush=True)  # fmt: skip
        elif self._task is None or new:
            self._display.start()
            if self._task is not None:  # it may have stopped early: its clock ends here
                self._display.update(self._task, total=self._at[0] or None)
                self._display.stop_task(self._task)
            self._task = self._display.add_task(what, total=total)
        self._at = (done, total)
        if self._task is not None:
            self._display.update(self._task, completed=done, description=what)

    def _left(self, done: int, total: int, new: bool) -> str:
        """`, about 3 min left`, from the speed since this piece of work began; empty at first."""
        now = time.monotonic()
        if new:
            self._begun = (now, done)
        begun, before = self._begun
        if done <= before or done >= total:
            return ""
        seconds = (now - begun) / (done - before) * (total - done)
        return (
            f", about {seconds:.0f} s left"
            if seconds < 90
            else f", about {seconds / 60:.0f} min left"
        )

    def say(self, line: str) -> None:
        """A line above the bars."""
        self._console.print(line, highlight=False)

    def stop(self) -> None:
        """Leave the bars as they stand."""
        if self._task is not None:
            self._display.stop()


def command_line() -> str:
    """The command as it was typed, for records."""
    return shlex.join(["neurorobust", *sys.argv[1:]])


@contextmanager
def session(as_json: bool, resumable: bool = False) -> Iterator[Output]:
    """One command: raised project errors become one line on stderr and the exit code of their kind.

    `resumable`: what an interrupted command did so far is kept.

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
            hint = "; --resume goes on from here" if resumable else ""
            print(f"neurorobust: interrupted{hint}", file=sys.stderr)
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
