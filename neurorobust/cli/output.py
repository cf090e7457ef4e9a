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
from neurorobust.support.ends import INTERRUPTED, unforeseen
from neurorobust.support.terminal import Terminal, printable

KEPT = "; --resume goes on with what is kept"  # where the work does not say what that is
UsageError: Any = typer.BadParameter.__bases__[0]  # of the click that typer brings or uses
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
        self.console = Terminal(stderr=as_json)
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
        self._console = Terminal(stderr=True)
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
        self._console.print(line)

    def stop(self) -> None:
        """Leave the bars as they stand."""
        if self._task is not None:
            self._display.stop()


def command_line() -> str:
    r"""The command as it was typed, for records; bytes that are no UTF-8 as `\udcff`."""
    typed = shlex.join(["neurorobust", *sys.argv[1:]])
    return typed.encode("utf-8", "backslashreplace").decode()


@contextmanager
def session(as_json: bool, resumable: bool = False) -> Iterator[Output]:
    """One command, and each of its endings: one line on stderr and an exit code of its kind.

    `resumable`: what an interrupted command did so far is kept.

    Exit codes: that of the project's error (errors.py), 3 for any other error, 130 for Ctrl-C. With
    `--json` every ending is also the one object on stdout: `{"error": ..., "exit_code": ...}`.
    """
    output = Output(as_json)
    with _only_ours(as_json) as stdout:
        code, text = 0, ""
        try:
            yield output
            text = json.dumps(output.json, allow_nan=False)
        except (BrokenPipeError, UsageError, typer.Exit, typer.Abort):
            raise  # click ends these as every program does
        except (Exception, KeyboardInterrupt) as error:  # anything: it becomes one line
            code, fields = _ending(output, error, resumable)
            text = json.dumps(fields)
        if as_json:
            with os.fdopen(os.dup(stdout), "w", encoding="utf-8") as stream:
                stream.write(text + "\n")
    if code:
        raise typer.Exit(code)


def _ending(output: Output, error: BaseException, resumable: bool) -> tuple[int, dict[str, Any]]:
    """Say on stderr how a command ended; its exit code, and what `--json` prints."""
    if isinstance(error, KeyboardInterrupt):
        kept = f"; {error}; --resume goes on from here" if str(error) else KEPT
        hint = kept if resumable else ""
        print(f"neurorobust: interrupted{hint}", file=sys.stderr)
        return INTERRUPTED, {"error": "interrupted", "exit_code": INTERRUPTED}
    if isinstance(error, NeuroRobustError):
        message = " ".join(str(error).split())
        code = error.exit_code
        fields = {**output.json, "error": message, "exit_code": code}  # with what was found so far
    else:
        end = unforeseen(error)
        message, code, fields = end.message, end.exit_code, end.fields()
    print(f"neurorobust: {printable(message)}", file=sys.stderr)
    return code, fields


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
