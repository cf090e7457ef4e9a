"""What the benchmarks share: interleaved timing, ratios inside one run, tables, JSON.

Absolute times drift on shared machines. So whatever is compared runs in turns (a, b, c, a, b, c,
...), a ratio is formed inside each turn, and the median over the turns is what is reported, with
the lowest and highest beside it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from neurorobust.provenance import now, provenance
from neurorobust.support import files

PEERS = ("nengo", "nengo-loihi", "norse", "snntorch", "spikingjelly")  # beside provenance's own


@dataclass(frozen=True)
class Spread:
    """A figure over the turns of one run."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """From one value a turn."""
        listed = list(values)
        return cls(statistics.median(listed), min(listed), max(listed))

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.low:.3g}-{self.high:.3g})"


def turns(
    tasks: dict[str, Callable[[], float]], count: int, budget: float = float("inf")
) -> dict[str, list[float]]:
    """Run every task once a turn; each returns its own figure. One turn before does not count.

    Args:
        tasks: what to run, by name.
        count: turns.
        budget: seconds after which no further turn begins; one is always finished.
    """
    for task in tasks.values():
        task()
    figures: dict[str, list[float]] = {name: [] for name in tasks}
    started = time.perf_counter()
    for _ in range(count):
        for name, task in tasks.items():
            figures[name].append(task())
        if time.perf_counter() - started > budget:
            break
    return figures


def timed(work: Callable[[], object], at_least: float = 0.1) -> Callable[[], float]:
    """A task for `turns`: seconds of one call, the mean of as many as fill `at_least` seconds."""
    repeats = 0

    def task() -> float:
        nonlocal repeats
        if repeats == 0:
            work()
            begun = time.perf_counter()
            work()
            repeats = max(1, int(at_least / (time.perf_counter() - begun)))
        begun = time.perf_counter()
        for _ in range(repeats):
            work()
        return (time.perf_counter() - begun) / repeats

    return task


def quotient(above: Sequence[float], below: Sequence[float]) -> Spread:
    """The ratio of two figures, turn by turn."""
    return Spread.of(a / b for a, b in zip(above, below, strict=True))


def parser(about: str) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    made = argparse.ArgumentParser(description=about.strip().splitlines()[0])
    made.add_argument("--json", type=Path, metavar="FILE", help="write the result there too")
    made.add_argument("--quick", action="store_true", help="few and small cases: does it run?")
    made.add_argument("--turns", type=int, default=None, help="turns (default 7, quick 2)")
    made.add_argument("--threads", type=int, default=None, help="threads (default torch's)")
    return made


def begin(made: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse and set the threads."""
    options = made.parse_args(arguments)
    if options.turns is None:
        options.turns = 2 if options.quick else 7
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    options.started, options.clock = now(), time.perf_counter()
    options.load = [round(load, 2) for load in os.getloadavg()]
    return options


def finish(name: str, options: argparse.Namespace, result: dict[str, Any]) -> None:
    """Print where the figures come from, and write the JSON document if asked.

    Args:
        name: the benchmark.
        options: from `begin`.
        result: `ratios` (by name: plain numbers, or objects with `ratio`) and whatever else it has.
    """
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    made = provenance(command, options.started, time.perf_counter() - options.clock).model_dump()
    made["versions"] |= peers()
    load = [round(load, 2) for load in os.getloadavg()]
    document = {
        "benchmark": name,
        "quick": options.quick,
        "turns": options.turns,
        "threads": torch.get_num_threads(),
        "load_average": {"before": options.load, "after": load},
        **made,
        **result,
    }
    machine = made["machine"]
    print(
        f"\n{machine['processor']}, {machine['cores']} cores, {torch.get_num_threads()} threads, "
        f"torch {made['versions']['torch']}, {made['seconds']:.0f} s, "
        f"load average {options.load[0]} before, {load[0]} after"
    )
    if options.json is not None:
        files.write_text(options.json, json.dumps(document, indent=2, default=_plain) + "\n")


def peers() -> dict[str, str]:
    """Versions of the other libraries that are installed here."""
    found = {}
    for package in PEERS:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print columns, the first to the left, the others to the right."""
    cells = [list(heads), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        first, *rest = zip(row, widths, strict=True)
        line = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
        print("  ".join(line).rstrip(), flush=True)


def _plain(value: object) -> object:
    if isinstance(value, Spread):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} is not data")
