"""What the engine costs as a network and its input grow, and how much memory it takes.

One thing grows at a time from a random dense network of 2 hidden layers of 512 neurons, 784
inputs, 10 outputs, batch 256, 16 steps, 10 % of the inputs firing; its neurons fire at about 10 %
too. `ns_per_neuron_step` divides by batch, steps and neurons; `ps_per_operation` by the
multiply-adds of the dense product (a lower figure than at the base says that it scales better than
the product). Memory is the peak of a process of its own that runs the batch once, above what the
same process held just before, its input among it.
"""

from __future__ import annotations

import ctypes
import itertools
import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import common
import torch
from networks import dense_network, spikes

from neurorobust.backends.engine import EngineBackend


@dataclass(frozen=True)
class Point:
    """A network and its input."""

    batch: int = 256
    steps: int = 16
    width: int = 512
    depth: int = 2
    density: float = 0.1

    @property
    def sizes(self) -> tuple[int, ...]:
        """Neurons from the input to the output."""
        return (784, *[self.width] * self.depth, 10)

    @property
    def operations(self) -> int:
        """Multiply-adds of the dense products."""
        return self.batch * self.steps * sum(a * b for a, b in itertools.pairwise(self.sizes))

    @property
    def neuron_steps(self) -> int:
        """Updates of a neuron."""
        return self.batch * self.steps * sum(self.sizes[1:])


BASE = Point()
QUICK_BASE = Point(32, 4, 64)
GROWN: dict[str, tuple[Any, ...]] = {
    "batch": (1, 4, 16, 64, 256, 1024, 4096),
    "steps": (1, 4, 16, 64, 256),
    "width": (64, 128, 256, 512, 1024, 2048),
    "depth": (1, 2, 4, 8),
    "density": (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
}
QUICK: dict[str, tuple[Any, ...]] = {"batch": (1, 16), "density": (0.0, 0.5)}
MEMORY = (256, 1024, 4096, 16384)


def main(arguments: Sequence[str] | None = None) -> None:
    options = common.begin(common.parser(__doc__), arguments)
    base = QUICK_BASE if options.quick else BASE
    ratios: dict[str, Any] = {}
    points: dict[str, Any] = {}
    for name, values in (QUICK if options.quick else GROWN).items():
        rows = measure(name, values, options.turns, base)
        points[name] = rows
        print(f"\n{name}")
        heads = ("", "ms", "ns a neuron-step", "ps an operation", "rates of the layers")
        common.table(heads, [_cells(name, row) for row in rows])
        first, last = rows[0], rows[-1]
        ratios[f"{name}_{first[name]}_to_{last[name]}"] = round(
            last["milliseconds"].median / first["milliseconds"].median, 3
        )
    memory = [
        peak_memory(replace(base, batch=batch)) for batch in ((64,) if options.quick else MEMORY)
    ]
    print("\nmemory")
    common.table(
        ("batch", "input MiB", "peak above it, MiB"),
        [(row["batch"], f"{row['input_mib']:.1f}", f"{row['peak_mib']:.1f}") for row in memory],
    )
    result = {"ratios": ratios, "points": points, "memory": memory}
    common.finish("scaling", options, result)


def measure(name: str, values: Sequence[Any], turns: int, base: Point) -> list[dict[str, Any]]:
    """All values of one thing, in turns."""
    points = [replace(base, **{name: value}) for value in values]
    tasks, rates = {}, {}
    for value, point in zip(values, points, strict=True):
        model, layer_rates = dense_network(point.sizes, point.steps)
        inputs = spikes(point.batch, point.sizes[0], point.steps, point.density)
        tasks[str(value)] = common.timed(partial(EngineBackend(model).run, inputs), 0.05)
        rates[str(value)] = layer_rates
    seconds = common.turns(tasks, turns)
    rows = []
    for value, point in zip(values, points, strict=True):
        spent = common.Spread.of(seconds[str(value)])
        rows.append(
            {
                name: value,
                "milliseconds": common.Spread(*(1e3 * s for s in vars(spent).values())),
                "ns_per_neuron_step": spent.median / point.neuron_steps * 1e9,
                "ps_per_operation": spent.median / point.operations * 1e12,
                "rates": rates[str(value)],
            }
        )
    return rows


def peak_memory(point: Point) -> dict[str, float]:
    """In a process of its own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_peak, (point,))


def _peak(point: Point) -> dict[str, float]:
    model, _ = dense_network(point.sizes, point.steps)
    engine = EngineBackend(model)
    engine.run(spikes(1, point.sizes[0], point.steps, point.density))
    inputs = spikes(point.batch, point.sizes[0], point.steps, point.density)
    ctypes.CDLL(None).malloc_trim(0)  # else what was freed before hides what the run takes
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew here
    before = _status("VmRSS")
    engine.run(inputs)
    peak = _status("VmHWM")
    return {
        "batch": point.batch,
        "input_mib": inputs.numel() / 2**20,
        "peak_mib": peak - before,
        "process_mib": peak,
    }


def _status(field: str) -> float:
    """MiB, from Linux's view of this process."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 2**10
    raise SystemExit(f"scaling: no {field} in /proc/self/status: memory is measured on Linux")


def _cells(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    return (
        str(row[name]),
        str(row["milliseconds"]),
        f"{row['ns_per_neuron_step']:.2f}",
        f"{row['ps_per_operation']:.2f}",
        " ".join(f"{rate:.2f}" for rate in row["rates"]),
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
